import { createApp } from 'vue'

import '../shared/base.css'
import { follow as followCases } from './cases'
import { bindAddress } from './state'
import { follow as followStatistics } from './statistics'
import WallPage from './WallPage.vue'

bindAddress()
followCases()
followStatistics()
createApp(WallPage).mount('#app')
