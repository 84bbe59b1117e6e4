/** From the camera's file to what is kept: a JPEG of at most 1600 px and the digests of both. */
import { sha256 } from './sha256'
import type { Media, Photo } from './types'

export const LONGEST_PX = 1600
const QUALITY = 0.8

/** The size that fits, never larger than it was. */
export function fit(width: number, height: number, longest = LONGEST_PX): { width: number; height: number } {
  const scale = Math.min(1, longest / Math.max(width, height))
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) }
}

export interface Scaled {
  content: ArrayBuffer
  width: number
  height: number
}

/** Scale in a worker's or a page's canvas, upright as the camera meant it. */
export async function scale(file: Blob): Promise<Scaled> {
  const picture = await createImageBitmap(file, { imageOrientation: 'from-image' })
  const { width, height } = fit(picture.width, picture.height)
  const canvas =
    typeof OffscreenCanvas === 'undefined'
      ? Object.assign(document.createElement('canvas'), { width, height })
      : new OffscreenCanvas(width, height)
  const pen = canvas.getContext('2d') as CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null
  if (!pen) throw new Error('no canvas')
  pen.drawImage(picture, 0, 0, width, height)
  picture.close()
  const blob =
    'convertToBlob' in canvas
      ? await canvas.convertToBlob({ type: 'image/jpeg', quality: QUALITY })
      : await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/jpeg', QUALITY))
  if (!blob) throw new Error('no picture')
  return { content: await blob.arrayBuffer(), width, height }
}

function inWorker(file: Blob): Promise<Scaled> {
  const worker = new Worker(new URL('./photo.worker.ts', import.meta.url), { type: 'module' })
  return new Promise<Scaled>((done, fail) => {
    worker.onmessage = (event: MessageEvent<Scaled | null>) => (event.data ? done(event.data) : fail(new Error('worker')))
    worker.onerror = () => fail(new Error('worker'))
    worker.postMessage(file)
  }).finally(() => worker.terminate())
}

/** Take a photo in. Raises when the file is no picture. */
export async function takeIn(file: Blob, taken_at: string): Promise<{ photo: Photo; media: Media }> {
  const original = await file.arrayBuffer()
  // An old phone without canvases in workers scales in the page.
  const scaled = await inWorker(file).catch(() => scale(file))
  const [digest, original_sha256] = [await sha256(scaled.content), await sha256(original)]
  const { width, height, content } = scaled
  return {
    photo: { sha256: digest, original_sha256, bytes: content.byteLength, width, height, taken_at },
    media: { sha256: digest, mime: 'image/jpeg', content },
  }
}
