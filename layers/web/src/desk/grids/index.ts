import { Grid } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const grids: Area = {
  routes: [{ path: '/grids', component: () => import('./GridsPage.vue') }],
  nav: [{ path: '/grids', title: 'nav.grids', icon: Grid, order: 62, permission: 'definition.view' }],
}
