/** One's own tokens for map programs. */
import { get, send } from '../../shared/api'

export interface MapToken {
  id: string
  name: string
  created_at: string
  expires_at: string
  revoked_at: string | null
  last_used_at: string | null
  state: 'living' | 'over' | 'revoked'
}

export const accountApi = {
  tokens: () => get<{ items: MapToken[] }>('/api/map-tokens').then((told) => told.items),
  make: (name: string, days: number) => send<{ token: string; about: MapToken }>('POST', '/api/map-tokens', { name, days }),
  revoke: (id: string) => send<void>('DELETE', `/api/map-tokens/${encodeURIComponent(id)}`),
}
