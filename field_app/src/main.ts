import { createApp } from 'vue'

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
