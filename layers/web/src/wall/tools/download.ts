/** Files for the person: made here, or fetched with a body that no address could hold. */
import { ApiError } from '../../shared/api'
import type { ProblemBody } from '../../shared/types'

export function keepFile(name: string, content: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(content)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** Raises `ApiError`. */
export async function postFile(path: string, body: unknown): Promise<void> {
  const unreachable = () => new ApiError(0, 'unreachable', '连不上服务器', 'The server cannot be reached')
  const answer = await fetch(path, { method: 'POST', credentials: 'same-origin', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }).catch(() => {
    throw unreachable()
  })
  if (!answer.ok) {
    const said = (await answer.json().catch(() => null)) as Partial<ProblemBody> | null
    throw new ApiError(answer.status, said?.code ?? `http_${answer.status}`, said?.title ?? '', said?.title_en ?? '', (said?.detail ?? {}) as Record<string, unknown>)
  }
  const named = /filename="([^"]+)"/.exec(answer.headers.get('content-disposition') ?? '')
  keepFile(named?.[1] ?? 'export', await answer.blob().catch(() => {
    throw unreachable()
  }))
}
