import { View } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const looks: Area = {
  routes: [{ path: '/looks', component: () => import('./LooksPage.vue') }],
  nav: [{ path: '/looks', title: 'nav.looks', icon: View, order: 90, permission: 'audit.view' }],
}
