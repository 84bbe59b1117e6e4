import { createApp } from 'vue'

import '../shared/base.css'
import './remote.css'
import RemotePage from './RemotePage.vue'

createApp(RemotePage).mount('#app')
