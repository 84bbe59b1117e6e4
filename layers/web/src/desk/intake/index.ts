import type { Area } from '../area'

export const intake: Area = { routes: [], nav: [] }
