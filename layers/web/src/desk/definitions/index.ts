import type { Area } from '../area'

export const definitions: Area = { routes: [], nav: [] }
