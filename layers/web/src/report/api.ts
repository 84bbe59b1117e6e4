/** What the public page asks the server; nothing of it needs a login. */
import { sha256 } from '../../../../field_app/src/core/sha256'
import type { Guide, Guided, Receipt } from '../desk/intake/types'
import type { FormSchema } from '../shared/forms'
import { get, request, send } from '../shared/api'
import type { Town, Two } from '../shared/types'

export interface Located {
  village: { code: string; name: string }
  components: { code: string; name: string; catalogue: string; category_code: string; distance_m: number }[]
}
export interface Followed {
  number: string
  category: string
  state_name: Two
  stage: string
  status: string
  reported_at: string
  closed_at: string | null
  timeline: { stage: string; name: Two; at: string }[]
  asks: string | null
  may_supplement: boolean
  may_rate: boolean
  rated: string | null
}

const code = encodeURIComponent
const CHANNEL = 'public'

/** The bytes of a data address. */
export function bytesOf(address: string): ArrayBuffer {
  const text = atob(address.slice(address.indexOf(',') + 1))
  return Uint8Array.from(text, (one) => one.charCodeAt(0)).buffer
}

export const publicApi = {
  town: () => get<Town>('/api/town'),
  guide: () => get<{ items: Guide[] }>(`/api/guides?channel=${CHANNEL}`).then((found) => found.items[0] ?? null),
  form: () => get<{ form: FormSchema | null }>(`/api/forms?kind=case&channel=${CHANNEL}`).then((found) => found.form),
  resolve: (guide: string, chosen: string[]) => send<{ catalogue: string; reports: Guided[] }>('POST', `/api/guides/${code(guide)}/resolve`, { chosen }),
  locate: (lon: number, lat: number, crs: string) => get<Located>(`/api/locate?lon=${lon}&lat=${lat}&crs=${code(crs)}`),
  async photo(address: string): Promise<string> {
    const content = bytesOf(address)
    const digest = await sha256(content)
    await request(`/api/public/media/${digest}`, { method: 'PUT', body: content, headers: { 'Content-Type': 'image/jpeg' } })
    return digest
  },
  report: (body: unknown) => send<Receipt>('POST', '/api/public/cases', body),
  follow: (query: string) => get<Followed>(`/api/public/cases/${code(query)}`),
  supplement: (query: string, note: string, photos: string[]) => send<Followed>('POST', `/api/public/cases/${code(query)}/supplement`, { note, photos }),
  rate: (query: string, score: number, note: string) => send<Followed>('POST', `/api/public/cases/${code(query)}/rate`, { score, note }),
}
