import { createApp } from 'vue'

import PublicPage from './PublicPage.vue'
import './report.css'

createApp(PublicPage).mount('#app')
