import { Odometer } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const operations: Area = {
  routes: [{ path: '/operations', component: () => import('./OperationsPage.vue') }],
  nav: [{ path: '/operations', title: 'nav.operations', icon: Odometer, order: 95, permission: 'job.view' }],
}
