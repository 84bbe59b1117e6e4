/** The desk's areas, in one list: its addresses and its navigation. */
import { account } from './account'
import { cases } from './cases'
import { census } from './census'
import { definitions } from './definitions'
import { flows } from './flows'
import { grids } from './grids'
import { intake } from './intake'
import { list } from './list'
import { looks } from './looks'
import { operations } from './operations'
import { register } from './register'
import { shift } from './shift'
import type { Area, NavEntry } from './area'

const areas: readonly Area[] = [list, cases, intake, register, definitions, flows, grids, census, shift, looks, operations, account]

export const routes = areas.flatMap((area) => area.routes)
export const nav: readonly NavEntry[] = areas.flatMap((area) => area.nav).sort((a, b) => a.order - b.order)
