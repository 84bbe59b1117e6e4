/** Something being written: its photos and text are on the disk a moment after they are entered. */
import { onUnmounted, ref, shallowRef } from 'vue'

import { changed } from './app'
import { now } from './http'
import { takeIn } from './photo'
import * as store from './store'
import type { Item, Media, Photo } from './types'

export interface Thumb {
  photo: Photo
  url: string
}

const AUTOSAVE_MS = 400

export function useWriting() {
  const draft = shallowRef<Item | null>(null)
  // Shallow: what goes to the disk must be the plain thing.
  const thumbs = shallowRef<Thumb[]>([])
  const busy = ref(false)
  /** The file was no picture this phone can read. */
  const unreadable = ref(false)
  /** The phone has no room for the photos; they are on this page only. */
  const full = ref(false)
  /** The disk refused for another reason. */
  const failure = shallowRef<unknown>(null)
  const media = new Map<string, Media>()
  const written = new Set<string>()
  let timer = 0

  const show = (photo: Photo, kept: Media) => {
    media.set(photo.sha256, kept)
    thumbs.value = [...thumbs.value, { photo, url: URL.createObjectURL(new Blob([kept.content], { type: kept.mime })) }]
  }

  function clear(): void {
    clearTimeout(timer)
    for (const thumb of thumbs.value) URL.revokeObjectURL(thumb.url)
    thumbs.value = []
    media.clear()
    written.clear()
    full.value = false
    unreadable.value = false
  }

  async function open(item: Item): Promise<void> {
    clear()
    draft.value = item
    for (const photo of item.photos) {
      const kept = await store.media(photo.sha256)
      if (!kept) continue
      written.add(photo.sha256)
      show(photo, kept)
    }
  }

  const photos = () => thumbs.value.map((thumb) => thumb.photo)
  const unwritten = () => [...media.values()].filter((each) => !written.has(each.sha256))

  /** Run a write; a full phone first gives up what can be read again. */
  async function roomFor<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write()
    } catch (error) {
      if (!store.isFull(error)) throw error
      await store.makeRoom()
      return write()
    }
  }

  async function keepNow(): Promise<void> {
    clearTimeout(timer)
    if (!draft.value) return
    const item = { ...draft.value, photos: photos() }
    draft.value = item
    const fresh = unwritten()
    try {
      await roomFor(() => store.keepDraft(item, fresh))
      for (const each of fresh) written.add(each.sha256)
      full.value = false
      failure.value = null
    } catch (error) {
      full.value = store.isFull(error)
      failure.value = full.value ? null : error
      // The words have room when the photos have none.
      await store.keepDraft({ ...item, photos: item.photos.filter((photo) => written.has(photo.sha256)) }, []).catch(() => undefined)
    }
    await changed()
  }

  /** Something was entered: on the disk soon. */
  function touch(patch: Partial<Item>): void {
    if (!draft.value) return
    draft.value = { ...draft.value, ...patch }
    clearTimeout(timer)
    timer = window.setTimeout(() => void keepNow(), AUTOSAVE_MS)
  }

  async function add(file: File): Promise<void> {
    busy.value = true
    unreadable.value = false
    try {
      const taken = await takeIn(file, new Date(now()).toISOString())
      if (!media.has(taken.photo.sha256)) show(taken.photo, taken.media)
    } catch {
      unreadable.value = true
      return
    } finally {
      busy.value = false
    }
    await keepNow()
  }

  async function remove(sha256: string): Promise<void> {
    const gone = thumbs.value.find((thumb) => thumb.photo.sha256 === sha256)
    if (!gone) return
    URL.revokeObjectURL(gone.url)
    media.delete(sha256)
    thumbs.value = thumbs.value.filter((thumb) => thumb !== gone)
    await keepNow()
  }

  /** Save for sending; with `textOnly` the photos stay behind. False when the disk refused. */
  async function save(finish: (item: Item, photos: Photo[]) => Item, textOnly = false): Promise<boolean> {
    clearTimeout(timer)
    if (!draft.value) return false
    const chosen = textOnly ? [] : photos()
    const item = { ...finish(draft.value, chosen), photos: chosen }
    try {
      await roomFor(() => store.save(item, textOnly ? [] : [...media.values()]))
    } catch (error) {
      full.value = store.isFull(error)
      failure.value = full.value ? null : error
      return false
    }
    draft.value = null
    clear()
    await changed()
    return true
  }

  async function discard(): Promise<void> {
    const gone = draft.value
    draft.value = null
    clear()
    if (gone) await store.discard(gone.id)
    await changed()
  }

  // Leaving the page or the app writes at once what the timer would have written.
  const leave = () => {
    if (draft.value && (draft.value.form || thumbs.value.length)) void keepNow()
  }
  document.addEventListener('visibilitychange', leave)
  onUnmounted(() => {
    document.removeEventListener('visibilitychange', leave)
    leave()
    clear()
  })

  return { draft, thumbs, busy, unreadable, full, failure, media, open, touch, add, remove, keepNow, save, discard }
}
