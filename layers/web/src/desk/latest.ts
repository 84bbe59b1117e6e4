/** The last change of a case that the stream told of: pages look whether it is theirs. `version` (shared/live.ts) counts all. */
import { shallowRef } from 'vue'

import type { CaseNews } from '../shared/live'

export const latest = shallowRef<CaseNews | null>(null)
