/**
 * What an area of the desk declares, and who may use it. Pure; `pages.ts` lists the areas.
 *
 * An area is a folder with an `index.ts` (its `Area`), its `messages.ts` (merged in shared/messages.ts, so `t('…')` is
 * checked) and its pages. Ready for all of them:
 * - `parts/PageFrame.vue`: title, actions, scrolling content; `parts/ProblemBanner.vue` with `problem.ts` (`useProblem`):
 *   what went wrong, its code, "try again";
 * - `parts/DeskMap.vue`: light basemap with points, the cases of a filter, shapes; picks a point or draws an area;
 * - shared/StateMark.vue, TimeText.vue, CopyCode.vue, names.ts (`me`, `may`, `town`, departments, categories, `nameOf`),
 *   live.ts (`version` counts changes of cases, the shell listens; `latest.ts` has the last one), api.ts (`get`, `send`; an area's own calls stand in its own `api.ts`);
 * - theme.css: variables `--ground --panel --raised --line --text --muted --strong --hover --bad`, `--row` (36 px) and the
 *   same colours for Element Plus, whose components are all registered. Colour stands for the state of cases alone.
 */
import type { Component } from 'vue'
import type { RouteRecordRaw } from 'vue-router'

import type { MessageKey } from '../shared/i18n'
import type { Me } from '../shared/types'

export interface NavEntry {
  /** Below `/desk`; it and what lies under it is open only to those who may use the entry. */
  path: string
  title: MessageKey
  icon: Component
  /** Smaller stands higher. */
  order: number
  /** What one must be allowed, and which of the roles one must have; both where both are given, all where none is. */
  permission?: string
  roles?: readonly string[]
}

export interface Area {
  routes: RouteRecordRaw[]
  nav: NavEntry[]
}

/** Whether this person may use what the entry leads to. */
export function mayUse(entry: Pick<NavEntry, 'permission' | 'roles'>, me: Pick<Me, 'roles' | 'permissions'>): boolean {
  if (entry.permission && !me.permissions.includes(entry.permission)) return false
  return !entry.roles || me.roles.some(({ role }) => entry.roles?.includes(role))
}

const covers = (entry: NavEntry, path: string) => path === entry.path || path.startsWith(`${entry.path}/`)

/** The entry an address belongs to: the longest that covers it. */
export const entryOf = (nav: readonly NavEntry[], path: string): NavEntry | undefined =>
  nav.filter((entry) => covers(entry, path)).sort((a, b) => b.path.length - a.path.length)[0]
