/** The pages behind the sign-in, in one piece: once it is here, none of them needs the network. */
// Only what is used of the library: its own bundles would bring an icon font along.
import 'vant/es/style/base.css'
import 'vant/es/button/index.css'
import 'vant/es/dialog/index.css'
import 'vant/es/loading/index.css'
import 'vant/es/overlay/index.css'
import 'vant/es/popup/index.css'
import 'vant/es/switch/index.css'

import '../vant.css'

export { default as CasePage } from './CasePage.vue'
export { default as CheckPage } from './CheckPage.vue'
export { default as DayPage } from './DayPage.vue'
export { default as OutboxPage } from './OutboxPage.vue'
export { default as ReportPage } from './ReportPage.vue'
export { default as TasksPage } from './TasksPage.vue'
