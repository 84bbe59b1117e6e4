import { createApp } from 'vue'

import '../shared/base.css'
import { readEvery } from '../shared/live'
import { follow } from './cases'
import { follow as hearNews } from './news'
import { bindAddress } from './state'
import WallPage from './WallPage.vue'

bindAddress()
follow()
hearNews()
readEvery(900)
createApp(WallPage).mount('#app')
