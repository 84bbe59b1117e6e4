import { Notebook } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const register: Area = {
  routes: [{ path: '/register', component: () => import('./RegisterPage.vue') }],
  nav: [{ path: '/register', title: 'nav.register', icon: Notebook, order: 25, permission: 'exception.manage' }],
}
