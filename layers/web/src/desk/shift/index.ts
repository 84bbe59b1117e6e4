import { Cellphone, DataBoard, Timer, TrendCharts } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const shift: Area = {
  routes: [
    { path: '/board', component: () => import('./BoardPage.vue') },
    { path: '/shifts', component: () => import('./CalendarPage.vue') },
    { path: '/shifts/now', component: () => import('./NowPage.vue') },
    { path: '/shifts/handover', component: () => import('./HandoverPage.vue') },
    { path: '/shifts/handover/:id', component: () => import('./HandoverSheet.vue'), props: true },
    { path: '/shifts/log', component: () => import('./LogPage.vue') },
    { path: '/reports', component: () => import('./ReportPage.vue') },
    { path: '/reports/balance', component: () => import('./BalancePage.vue') },
    { path: '/devices', component: () => import('./DevicesPage.vue') },
  ],
  nav: [
    { path: '/board', title: 'nav.board', icon: DataBoard, order: 50, permission: 'statistics.view' },
    // Everybody finds their own shifts there; the centre's pages beside them ask for shift.work.
    { path: '/shifts', title: 'nav.shifts', icon: Timer, order: 51 },
    { path: '/reports', title: 'nav.reports', icon: TrendCharts, order: 52, permission: 'statistics.view' },
    { path: '/devices', title: 'nav.devices', icon: Cellphone, order: 53, permission: 'device.manage' },
  ],
}
