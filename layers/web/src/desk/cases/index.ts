import type { Area } from '../area'

export const cases: Area = {
  routes: [
    { path: '/cases/:id', component: () => import('./CasePage.vue'), props: true },
    { path: '/cases/:id/print', component: () => import('./CasePrint.vue'), props: true, meta: { bare: true } },
  ],
  nav: [],
}
