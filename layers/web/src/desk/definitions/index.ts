import { Collection, Files, Guide } from '@element-plus/icons-vue'

import type { Area } from '../area'

const permission = 'definition.view'

export const definitions: Area = {
  routes: [
    { path: '/duties', component: () => import('./DutyPage.vue') },
    { path: '/standards', component: () => import('./StandardPage.vue') },
    { path: '/definitions', component: () => import('./OverviewPage.vue') },
    { path: '/definitions/:kind/:code', component: () => import('./DefinitionPage.vue'), props: true },
  ],
  nav: [
    { path: '/duties', title: 'nav.duties', icon: Guide, order: 60, permission },
    { path: '/standards', title: 'nav.standards', icon: Collection, order: 61, permission },
    { path: '/definitions', title: 'nav.definitions', icon: Files, order: 90, permission },
  ],
}
