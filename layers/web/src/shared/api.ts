/** The one way the pages speak to the server. Knows addresses and refusals; keeps no state. */
import type {
  CaseCount,
  CaseDetail,
  CasePage,
  Catalogue,
  Facts,
  Figure,
  HeatCell,
  Me,
  Named,
  Place,
  Position,
  ProblemBody,
  Statistics,
  Town,
} from './types'

/** A refusal or a failure to reach the server; `code` is what the help desk asks for. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly zh: string,
    readonly en: string,
    /** The facts of this one refusal, as the server sent them. */
    readonly detail: Readonly<Record<string, unknown>> = {},
  ) {
    super(`${code}: ${en}`)
  }
}

function toLogin(): void {
  if (location.pathname === '/login') return
  const here = location.pathname + location.search + location.hash
  location.assign(`/login?next=${encodeURIComponent(here)}`)
}

async function refusal(answer: Response): Promise<ApiError> {
  const body = (await answer.json().catch(() => null)) as Partial<ProblemBody> | null
  const code = body?.code ?? `http_${answer.status}`
  const detail = (body?.detail ?? {}) as Record<string, unknown>
  return new ApiError(answer.status, code, body?.title ?? '服务器没有给出说明', body?.title_en ?? 'The server gave no reason', detail)
}

/** One request; its JSON, or nothing for an answer without a body. Raises `ApiError`; unknown callers go to the login page. */
export async function request<T>(path: string, init: RequestInit = {}): Promise<T> {
  const answer = await reached(path, init)
  return (answer.status === 204 ? undefined : await answer.json()) as T
}

async function reached(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response
  try {
    answer = await fetch(path, { credentials: 'same-origin', ...init })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError(0, 'unreachable', '连不上服务器', 'The server cannot be reached')
  }
  if (!answer.ok) {
    if (answer.status === 401 && path !== '/api/login') toLogin()
    throw await refusal(answer)
  }
  return answer
}

export const get = <T>(path: string, signal?: AbortSignal) => request<T>(path, { signal })
const asJson = (method: string, body: unknown): RequestInit => ({
  method,
  ...(body !== undefined && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
})
/** Sends `body` as JSON. */
export const send = <T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown) => request<T>(path, asJson(method, body))
const code = encodeURIComponent

/** True for the error of a request we ourselves gave up. */
export const isAbort = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError'

/** Whether the same may go well when it is tried again: not where a rule refuses it. */
export const isPassing = (error: unknown): boolean => !(error instanceof ApiError) || error.status === 0 || error.status >= 500 || [409, 429].includes(error.status)

/** Joins query strings that may be empty. */
export const query = (...parts: string[]): string => {
  const joined = parts.filter(Boolean).join('&')
  return joined && `?${joined}`
}

/** Hands a file to the browser to keep. */
export function keepFile(name: string, content: Blob): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(content)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

/** The name a file's answer gives: in any script where it says so (RFC 6266), else the plain one. */
export function fileName(disposition: string): string {
  const [, any] = /filename\*=UTF-8''([^;]+)/i.exec(disposition) ?? []
  const [, plain] = /filename="([^"]+)"/.exec(disposition) ?? []
  return any ? decodeURIComponent(any) : (plain ?? 'export')
}

/** Fetches a file, asked for with `body` where no address could hold what is asked, to keep. Raises `ApiError`. */
export async function fetchFile(path: string, body?: unknown): Promise<void> {
  const answer = await reached(path, body === undefined ? {} : asJson('POST', body))
  const content = await answer.blob().catch(() => {
    throw new ApiError(0, 'unreachable', '下载中断', 'The download broke off')
  })
  keepFile(fileName(answer.headers.get('content-disposition') ?? ''), content)
}

export const api = {
  login: (username: string, password: string) =>
    send<{ me: Me }>('POST', '/api/login', { username, password }),
  async logout(): Promise<void> {
    await fetch('/api/logout', { method: 'POST', credentials: 'same-origin' })
    location.assign('/login')
  },
  me: () => get<Me>('/api/me'),
  town: () => get<Town>('/api/town'),
  cases: (filter: string, cursor: string, limit: number, signal?: AbortSignal) =>
    get<CasePage>(`/api/cases${query(filter, `limit=${limit}`, cursor && `cursor=${code(cursor)}`)}`, signal),
  count: (filter: string, facets: string[], signal?: AbortSignal) =>
    get<CaseCount>(`/api/cases/count${query(filter, facets.length ? `facets=${facets.join(',')}` : '')}`, signal),
  caseDetail: (id: string, signal?: AbortSignal) => get<CaseDetail>(`/api/cases/${code(id)}`, signal),
  component: (id: string, signal?: AbortSignal) => get<Facts>(`/api/components/${code(id)}`, signal),
  grid: (id: string, signal?: AbortSignal) => get<Facts>(`/api/grids/${code(id)}`, signal),
  divisions: () => get<GeoJSON.FeatureCollection>('/api/divisions'),
  departments: () => get<{ items: Named[] }>('/api/departments').then((found) => found.items),
  catalogue: () => get<Catalogue>('/api/catalogue'),
  figures: (of = '', signal?: AbortSignal) => get<{ at: string; figures: Figure[] }>(`/api/figures${query(of)}`, signal),
  statistics: (search: string, signal?: AbortSignal) => get<Statistics>(`/api/statistics${query(search)}`, signal),
  statisticCases: (measure: string, search: string, cursor: string, limit: number, signal?: AbortSignal) =>
    get<CasePage>(
      `/api/statistics/${code(measure)}/cases${query(search, `limit=${limit}`, cursor && `cursor=${code(cursor)}`)}`,
      signal,
    ),
  heat: (filter: string, res: number, signal?: AbortSignal) =>
    get<{ res: number; total: number; items: HeatCell[] }>(`/api/heat${query(filter, `res=${res}`)}`, signal),
  positions: () => get<{ items: Position[] }>('/api/positions/live'),
  places: (text: string, signal?: AbortSignal) => get<{ items: Place[] }>(`/api/places?q=${code(text)}`, signal),
  style: (theme: 'dark' | 'light' = 'dark') => get<import('maplibre-gl').StyleSpecification>(`/style.json?theme=${theme}`),
}
