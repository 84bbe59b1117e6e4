import type { Area } from '../area'

export const shift: Area = { routes: [], nav: [] }
