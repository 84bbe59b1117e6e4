import { Share } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const flows: Area = {
  routes: [
    { path: '/flows', component: () => import('./FlowListPage.vue') },
    { path: '/flows/bindings', component: () => import('./BindingsPage.vue') },
    { path: '/flows/moves', component: () => import('./MovesPage.vue') },
    { path: '/flows/moves/:id', component: () => import('./MoveProgressPage.vue') },
    // A board of its own for each flow: its draft must not be taken for another's.
    { path: '/flows/:code', component: () => import('./DesignerPage.vue') },
    { path: '/flows/:code/moves', component: () => import('./MovePage.vue') },
  ],
  nav: [{ path: '/flows', title: 'flow.title', icon: Share, order: 80, permission: 'definition.view' }],
}
