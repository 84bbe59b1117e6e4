import { EditPen } from '@element-plus/icons-vue'

import type { Area } from '../area'

export const intake: Area = {
  routes: [{ path: '/intake', component: () => import('./IntakePage.vue'), meta: { embeddable: true } }],
  nav: [{ path: '/intake', title: 'nav.intake', icon: EditPen, order: 20, permission: 'case.report' }],
}
