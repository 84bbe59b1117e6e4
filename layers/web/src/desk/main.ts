import ElementPlus from 'element-plus'
import 'element-plus/dist/index.css'
import { createApp } from 'vue'

import '../shared/base.css'
import { COLOUR_ON_LIGHT, PALETTE } from '../shared/lights'
import DeskPage from './DeskPage.vue'
import { router } from './router'
import './theme.css'

createApp(DeskPage).use(ElementPlus).use(router).provide(PALETTE, COLOUR_ON_LIGHT).mount('#app')
