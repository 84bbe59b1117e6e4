/**
 * What the phone keeps, in IndexedDB. A report exists from the moment `save` has resolved: one transaction, written
 * through to the disk. Knows stores and transactions; knows neither network nor screen.
 */
import { openDB, type DBSchema, type IDBPDatabase, type IDBPTransaction } from 'idb'

import { queued } from './outbox'
import type { Item, KeptFix, Media, Receipt } from './types'
import { uuid7 } from './uuid7'

interface Schema extends DBSchema {
  items: { key: string; value: Item }
  media: { key: string; value: Media }
  receipts: { key: string; value: Receipt }
  track: { key: [string, number]; value: KeptFix }
  kept: { key: string; value: unknown }
}

type Database = IDBPDatabase<Schema>

const NAME = 'wangge-phone'
const RECEIPT_DAYS = 30
const STRICT = { durability: 'strict' } as const

let opened: Promise<Database> | null = null

function open(): Promise<Database> {
  opened ??= openDB<Schema>(NAME, 1, {
    upgrade(db) {
      db.createObjectStore('items', { keyPath: 'id' })
      db.createObjectStore('media', { keyPath: 'sha256' })
      db.createObjectStore('receipts', { keyPath: 'id' })
      db.createObjectStore('track', { keyPath: ['owner', 'seq'] })
      db.createObjectStore('kept')
    },
    // A newer release in another tab must not wait for this one for ever.
    blocking: () => void close(),
    // Phones end the connection of a page in the background; the next use opens it again.
    terminated: () => (opened = null),
  }).catch((error: unknown) => {
    opened = null
    throw error
  })
  return opened
}

/** Let go of the database; the next use opens it again. */
export async function close(): Promise<void> {
  const db = await opened?.catch(() => null)
  opened = null
  db?.close()
}

const LOST = new Set(['InvalidStateError', 'UnknownError'])

/** Run `work` on an open database; a connection the system has ended is opened again, twice. */
async function on<T>(work: (db: Database) => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work(await open())
    } catch (error) {
      if (tries === 2 || !(error instanceof DOMException) || !LOST.has(error.name)) throw error
      await close()
    }
  }
}

/** True when the phone has no room for what was to be written. */
export const isFull = (error: unknown): boolean => error instanceof DOMException && error.name === 'QuotaExceededError'

// Small values under a name of ours.

export const kept = <T>(name: string): Promise<T | undefined> => on((db) => db.get('kept', name)) as Promise<T | undefined>

export const keep = (name: string, value: unknown): Promise<unknown> => on((db) => db.put('kept', value, name))

export const forget = (name: string): Promise<void> => on((db) => db.delete('kept', name))

/** Forget every value whose name begins so. */
export const forgetAll = (prefix: string): Promise<void> =>
  on((db) => db.delete('kept', IDBKeyRange.bound(prefix, `${prefix}\uffff`)))

/** This installation's own name, made once; clearing the browser's data makes another. */
export const deviceId = (): Promise<string> =>
  on(async (db) => {
    const tx = db.transaction('kept', 'readwrite')
    let id = (await tx.store.get('device')) as string | undefined
    if (!id) await tx.store.put((id = uuid7()), 'device')
    await tx.done
    return id
  })

// The outbox.

export const items = (): Promise<Item[]> => on((db) => db.getAll('items'))

export const item = (id: string): Promise<Item | undefined> => on((db) => db.get('items', id))

export const receipts = (): Promise<Receipt[]> => on((db) => db.getAll('receipts'))

export const media = (sha256: string): Promise<Media | undefined> => on((db) => db.get('media', sha256))

/** Keep a draft and its photos, unless it was saved meanwhile. */
export const keepDraft = (draft: Item, photos: readonly Media[]): Promise<void> =>
  on(async (db) => {
    const tx = db.transaction(['items', 'media'], 'readwrite', STRICT)
    void tx.done.catch(() => undefined)
    const there = await tx.objectStore('items').get(draft.id)
    if (!there || there.state === 'draft') {
      await tx.objectStore('items').put(draft)
      for (const photo of photos) await tx.objectStore('media').put(photo)
    }
    await tx.done
  })

/** Save for sending: the record, its photos and its number on this device in one transaction. */
export const save = (draft: Item, photos: readonly Media[], now = Date.now()): Promise<Item> =>
  on(async (db) => {
    const tx = db.transaction(['items', 'media', 'kept'], 'readwrite', STRICT)
    void tx.done.catch(() => undefined)
    const there = await tx.objectStore('items').get(draft.id)
    if (there && there.state !== 'draft') throw new Error('saved already')
    const last = ((await tx.objectStore('kept').get('device-seq')) as number | undefined) ?? 0
    const saved = queued(draft, last + 1, now)
    await tx.objectStore('kept').put(Math.max(last, saved.seq!), 'device-seq')
    await tx.objectStore('items').put(saved)
    for (const photo of photos) await tx.objectStore('media').put(photo)
    await tx.done
    return saved
  })

/** Change an item by a rule of the outbox; an item that has left meanwhile stays gone. Returns what is there now. */
export const change = (id: string, rule: (item: Item) => Item): Promise<Item | undefined> =>
  on(async (db) => {
    const tx = db.transaction('items', 'readwrite', STRICT)
    const there = await tx.store.get(id)
    const next = there && rule(there)
    if (next && next !== there) await tx.store.put(next)
    await tx.done
    return next
  })

/** The server has named an item, or its owner has withdrawn it: only the receipt stays. */
export const settle = (id: string, receipt: Receipt): Promise<void> =>
  on(async (db) => {
    const tx = db.transaction(['items', 'media', 'receipts'], 'readwrite', STRICT)
    await tx.objectStore('receipts').put(receipt)
    await tx.objectStore('items').delete(id)
    await dropUnused(tx)
    await tx.done
  })

/** Throw away a draft its writer no longer wants. */
export const discard = (id: string): Promise<void> =>
  on(async (db) => {
    const tx = db.transaction(['items', 'media', 'receipts'], 'readwrite', STRICT)
    if ((await tx.objectStore('items').get(id))?.state === 'draft') await tx.objectStore('items').delete(id)
    await dropUnused(tx)
    await tx.done
  })

/** Receipts older than thirty days go, and photos nothing names any more. */
export const tidy = (now = Date.now()): Promise<void> =>
  on(async (db) => {
    const tx = db.transaction(['items', 'media', 'receipts'], 'readwrite')
    for (const receipt of await tx.objectStore('receipts').getAll()) {
      if (receipt.acked_at < now - RECEIPT_DAYS * 86_400_000) await tx.objectStore('receipts').delete(receipt.id)
    }
    await dropUnused(tx)
    await tx.done
  })

/** Give up what can be read from the server again, so that a report finds room. */
export const makeRoom = (): Promise<void> =>
  on(async (db) => {
    const tx = db.transaction('kept', 'readwrite')
    await tx.store.delete(IDBKeyRange.bound('own:', 'own:\uffff'))
    await tx.store.delete('near-pack')
    await tx.done
  })

type Cleaning = IDBPTransaction<Schema, ('items' | 'media' | 'receipts')[], 'readwrite'>

async function dropUnused(tx: Cleaning): Promise<void> {
  const used = new Set<string>()
  for (const each of await tx.objectStore('items').getAll()) for (const photo of each.photos) used.add(photo.sha256)
  for (const each of await tx.objectStore('receipts').getAll()) {
    for (const photo of each.withdrawn?.photos ?? []) used.add(photo.sha256)
  }
  const photos = tx.objectStore('media')
  for (const key of await photos.getAllKeys()) if (!used.has(String(key))) await photos.delete(key)
}

// Positions.

/** Keep a position under the owner's next number. */
export const keepFix = (fix: Omit<KeptFix, 'seq'>): Promise<void> =>
  on(async (db) => {
    const tx = db.transaction(['track', 'kept'], 'readwrite')
    const last = ((await tx.objectStore('kept').get('track-seq')) as number | undefined) ?? 0
    await tx.objectStore('kept').put(last + 1, 'track-seq')
    await tx.objectStore('track').put({ ...fix, seq: last + 1 })
    await tx.done
  })

const of = (owner: string, upTo: number = Infinity) => IDBKeyRange.bound([owner, 0], [owner, upTo])

/** The oldest positions of a person not yet acknowledged. */
export const waitingFixes = (owner: string, limit: number): Promise<KeptFix[]> =>
  on((db) => db.getAll('track', of(owner), limit))

export const countFixes = (owner: string): Promise<number> => on((db) => db.count('track', of(owner)))

/** Forget the positions up to `acked`. */
export const ackFixes = (owner: string, acked: number): Promise<void> => on((db) => db.delete('track', of(owner, acked)))
