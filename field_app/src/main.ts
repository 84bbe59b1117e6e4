import { createApp } from 'vue'

// Only what is used: the library's own bundles would bring its icon font along.
import 'vant/es/style/base.css'
import 'vant/es/button/index.css'
import 'vant/es/dialog/index.css'
import 'vant/es/loading/index.css'
import 'vant/es/overlay/index.css'
import 'vant/es/popup/index.css'
import 'vant/es/switch/index.css'

import './base.css'
import App from './App.vue'
import { start } from './core/app'
import { register } from './core/release'

void start().then(() => {
  createApp(App).mount('#app')
  // The worker fetches the whole release: after the first page is there, not instead of it.
  const later = window.requestIdleCallback ?? ((work: () => void) => setTimeout(work, 500))
  later(() => void register())
})
