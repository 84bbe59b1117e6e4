import { createApp } from 'vue'

import '../shared/base.css'
import { follow } from './cases'
import { bindAddress } from './state'
import WallPage from './WallPage.vue'

bindAddress()
follow()
createApp(WallPage).mount('#app')
