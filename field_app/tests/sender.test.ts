/** The outbox against a server that fails in every way it can: whatever was saved arrives once, or stays in sight. */
import 'fake-indexeddb/auto'
import { createHash } from 'node:crypto'

import { beforeEach, expect, it, vi } from 'vitest'

import { blank } from '../src/core/draft'
import { makeSender } from '../src/core/sender'
import * as store from '../src/core/store'
import type { Item, Media, Session } from '../src/core/types'
import { uuid7 } from '../src/core/uuid7'

const ME = { id: 'p1', username: 'u', name: '张三', department: null, roles: [], permissions: [] }
type Weather = 'fine' | 'down' | 'lost' | 'fault' | 'portal' | 'lapsed' | 'refuses'

/** As small as the real one may be: keyed by id, keeps photos by digest. */
class Server {
  cases = new Map<string, string>()
  photos = new Set<string>()
  writes = 0
  weather: Weather = 'fine'

  answer(path: string, init: RequestInit): Response {
    const json = (status: number, body: unknown) =>
      new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } })
    const problem = (status: number, code: string) => json(status, { status, code, title: 'x', title_en: 'x', detail: {} })
    if (this.weather === 'down') throw new TypeError('network')
    if (this.weather === 'portal') return new Response('<html>请登录</html>', { status: 200, headers: { 'Content-Type': 'text/html' } })
    if (this.weather === 'fault') return new Response('oops', { status: 502 })
    if (this.weather === 'lapsed') return problem(401, 'not_authenticated')
    if (init.method === 'PUT') {
      const bytes = init.body as ArrayBuffer
      const digest = createHash('sha256').update(new Uint8Array(bytes)).digest('hex')
      if (!path.endsWith(digest)) return problem(422, 'malformed')
      this.photos.add(digest)
      return json(200, { sha256: digest, bytes: bytes.byteLength, mime: 'image/jpeg' })
    }
    if (this.weather === 'refuses') return problem(422, 'outside_town')
    const body = JSON.parse(String(init.body)) as { id: string; photos: string[] }
    if (!body.photos.every((digest) => this.photos.has(digest))) return problem(404, 'not_found')
    const content = JSON.stringify(body)
    const known = this.cases.get(body.id)
    if (known && known !== content) return problem(409, 'id_conflict')
    if (!known) this.writes++
    this.cases.set(body.id, content)
    if (this.weather === 'lost') throw new TypeError('reply lost')
    return json(known ? 200 : 201, { id: body.id, number: `RH-${this.cases.size}`, query_code: 'Q', seq: 1, hash: 'ab'.repeat(32) })
  }
}

let server: Server
let session: Session | null

const sender = () =>
  makeSender({
    session: () => session,
    expired: async (token) => {
      if (session?.token === token) session = { ...session, expired: true }
    },
    changed: () => undefined,
    later: () => undefined,
  })

async function saveOne(photos = 1): Promise<string> {
  const id = uuid7()
  const media: Media[] = Array.from({ length: photos }, (_, n) => {
    const content = new TextEncoder().encode(`${id}-${n}`).buffer as ArrayBuffer
    return { sha256: createHash('sha256').update(new Uint8Array(content)).digest('hex'), mime: 'image/jpeg', content }
  })
  const taken = media.map(({ sha256, content }) => ({ sha256, original_sha256: sha256, bytes: content.byteLength, width: 1, height: 1, taken_at: '' }))
  const draft: Item = { ...blank('report', id, session!, 'd', Date.now(), '1'), photos: taken, body: { id, photos: media.map((m) => m.sha256) } }
  await store.save(draft, media)
  return id
}

beforeEach(async () => {
  server = new Server()
  session = { token: 't1', me: ME, expired: false }
  vi.stubGlobal('navigator', {})
  vi.stubGlobal('fetch', async (path: string, init: RequestInit) => server.answer(path, init))
  for (const item of await store.items()) {
    await store.change(item.id, (each) => ({ ...each, state: 'draft' }))
    await store.discard(item.id)
  }
})

it('keeps what was saved through every weather and delivers it once', async () => {
  // A fixed walk: multiplicative congruential steps, so that a failure can be walked again.
  let seed = 20261120
  const roll = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n
  const weathers: Weather[] = ['fine', 'down', 'lost', 'fault', 'portal', 'lapsed', 'refuses']
  const saved = new Set<string>()
  for (let step = 0; step < 120; step++) {
    const turn = roll(5)
    if (turn === 0) saved.add(await saveOne(roll(3)))
    else if (turn === 1) server.weather = weathers[roll(weathers.length)]!
    else if (turn === 2) session = { token: `t${step}`, me: ME, expired: false }
    // A page that dies while sending leaves its item in this state.
    else if (turn === 3) for (const item of (await store.items()).slice(0, 1)) await store.change(item.id, (each) => (each.state === 'queued' ? { ...each, state: 'sending' } : each))
    else await sender().flush(true)
    const there = new Set([...(await store.items()), ...(await store.receipts())].map((each) => each.id))
    for (const id of saved) expect(there.has(id)).toBe(true)
  }
  server.weather = 'fine'
  session = { token: 'last', me: ME, expired: false }
  for (const item of await store.items()) await store.change(item.id, (each) => ({ ...each, state: each.state === 'needs-help' ? 'queued' : each.state, next_at: 0 }))
  await sender().flush(true)
  expect(saved.size).toBeGreaterThan(10)
  expect(await store.items()).toEqual([])
  expect(new Set(server.cases.keys())).toEqual(saved)
  expect(server.writes).toBe(saved.size)
  const numbers = (await store.receipts()).filter((receipt) => saved.has(receipt.id)).map((receipt) => receipt.device_seq)
  expect(new Set(numbers).size).toBe(saved.size)
})

it('never sends what belongs to somebody else', async () => {
  await saveOne()
  session = { token: 'other', me: { ...ME, id: 'p2', name: '李四' }, expired: false }
  await sender().flush(true)
  expect(server.cases.size).toBe(0)
  expect((await store.items()).map((item) => item.state)).toEqual(['queued'])
})

it('parks what is saved after the sign-in has lapsed', async () => {
  session = { ...session!, expired: true }
  await saveOne()
  await sender().flush()
  expect((await store.items()).map((item) => item.state)).toEqual(['login-needed'])
  session = { ...session, expired: false }
  await sender().flush()
  expect(server.cases.size).toBe(1)
})

it('does not send a report without the photo it was made with', async () => {
  const id = await saveOne(1)
  const kept = (await store.item(id))!
  await store.change(id, (item) => ({ ...item, photos: [{ ...kept.photos[0]!, sha256: '0'.repeat(64) }] }))
  await sender().flush(true)
  expect(server.cases.size).toBe(0)
  expect(await store.item(id)).toMatchObject({ state: 'needs-help', problem: { code: 'photo_lost' } })
})

it('drops receipts after thirty days and their photos never earlier', async () => {
  const id = await saveOne(1)
  const digest = (await store.item(id))!.photos[0]!.sha256
  expect(await store.media(digest)).toBeDefined()
  await sender().flush(true)
  expect(await store.media(digest)).toBeUndefined()
  expect((await store.receipts()).some((receipt) => receipt.id === id)).toBe(true)
  await store.tidy(Date.now() + 31 * 86_400_000)
  expect(await store.receipts()).toEqual([])
})
