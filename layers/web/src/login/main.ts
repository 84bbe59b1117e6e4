import { createApp } from 'vue'

import '../shared/base.css'
import LoginPage from './LoginPage.vue'

createApp(LoginPage).mount('#app')
