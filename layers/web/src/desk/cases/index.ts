import type { Area } from '../area'

export const cases: Area = {
  routes: [{ path: '/cases/:id', component: () => import('./CasePage.vue'), props: true }],
  nav: [],
}
