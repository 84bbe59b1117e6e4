/** What is unsent, as one file: the way out when nothing else works. */
import * as store from './store'
import type { Item, Media } from './types'

function base64(content: ArrayBuffer): string {
  const bytes = new Uint8Array(content)
  let text = ''
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000))
  return btoa(text)
}

/** The file's text; `extra` are photos not (or no longer) in the store. */
export async function exportText(items: readonly Item[], extra: readonly Media[] = []): Promise<string> {
  const media: Record<string, { mime: string; base64: string }> = {}
  for (const digest of new Set(items.flatMap((item) => item.photos.map((photo) => photo.sha256)))) {
    const found = extra.find((each) => each.sha256 === digest) ?? (await store.media(digest))
    if (found) media[digest] = { mime: found.mime, base64: base64(found.content) }
  }
  return JSON.stringify({ format: 'wangge-outbox-1', exported_at: new Date().toISOString(), items, media }, null, 1)
}

export async function exportFile(items: readonly Item[], extra: readonly Media[] = []): Promise<void> {
  const url = URL.createObjectURL(new Blob([await exportText(items, extra)], { type: 'application/json' }))
  const link = document.createElement('a')
  link.href = url
  link.download = `wangge-${new Date().toISOString().slice(0, 19).replace(/[^0-9]/g, '')}.json`
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
