import type { Area } from '../area'

export const flows: Area = { routes: [], nav: [] }
