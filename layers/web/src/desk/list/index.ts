import { List } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const list: Area = {
  routes: [{ path: '/cases', component: () => import('./ListPage.vue') }],
  nav: [{ path: '/cases', title: 'nav.cases', icon: List, order: 10, permission: 'case.view' }],
}
