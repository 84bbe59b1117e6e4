import type { Area } from '../area'

export const account: Area = {
  routes: [{ path: '/account', component: () => import('./AccountPage.vue') }],
  nav: [],
}
