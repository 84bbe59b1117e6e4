import { Files } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const census: Area = {
  routes: [
    { path: '/census', component: () => import('./CensusPage.vue') },
    { path: '/census/components', component: () => import('./ComponentsPage.vue') },
    { path: '/census/components/:code', component: () => import('./ComponentPage.vue') },
    { path: '/census/catalogues', component: () => import('./CataloguesPage.vue') },
    { path: '/census/systems', component: () => import('./SystemsPage.vue') },
    { path: '/census/:id', component: () => import('./DraftPage.vue') },
  ],
  nav: [{ path: '/census', title: 'census.title', icon: Files, order: 75, permission: 'census.view' }],
}
