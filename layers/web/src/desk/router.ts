/** Addresses under `/desk`. Who may use a page is asked where it is shown (DeskPage): it needs to know the person first. */
import { createRouter, createWebHistory } from 'vue-router'

import NoPage from './NoPage.vue'
import { routes } from './pages'

export const router = createRouter({
  history: createWebHistory('/desk'),
  routes: [...routes, { path: '/:rest(.*)*', component: NoPage }],
})
