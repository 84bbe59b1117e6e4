/** From a file on this computer to a photo the server has: hashed here, sent under its digest. Knows no widgets. */
import { sha256 } from '../../../../field_app/src/core/sha256'
import { ApiError, request } from './api'

export interface Shot {
  sha256: string
  name: string
  /** A tiny picture of it as a data address, empty where the browser could not draw it. */
  thumb: string
}

/** What the server takes; the browser's own list of pictures is longer. */
export const PHOTO_TYPES = ['image/jpeg', 'image/png', 'image/webp']
const PHOTO_BYTES = 20 * 2 ** 20
const THUMB_PX = 120

/** A small picture to recognise the photo by, before the case has it. */
async function thumbOf(file: Blob): Promise<string> {
  try {
    const picture = await createImageBitmap(file, { imageOrientation: 'from-image' })
    const scale = Math.min(1, THUMB_PX / Math.max(picture.width, picture.height))
    const canvas = Object.assign(document.createElement('canvas'), {
      width: Math.max(1, Math.round(picture.width * scale)),
      height: Math.max(1, Math.round(picture.height * scale)),
    })
    canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height)
    picture.close()
    return canvas.toDataURL('image/jpeg', 0.7)
  } catch {
    return ''
  }
}

/** Sends one photo; sending it again is harmless. Raises `ApiError`, for what is no photo or too large as well. */
export async function sendPhoto(file: File): Promise<Shot> {
  if (!PHOTO_TYPES.includes(file.type)) throw new ApiError(422, 'not_a_photo', '只能上传 JPEG、PNG 或 WebP 照片', 'Only JPEG, PNG or WebP photos are taken')
  if (file.size > PHOTO_BYTES) throw new ApiError(413, 'upload_too_large', '照片不能超过 20 MB', 'A photo may have at most 20 MB')
  const content = await file.arrayBuffer()
  const [digest, thumb] = await Promise.all([sha256(content), thumbOf(file)])
  await request(`/api/media/${digest}`, { method: 'PUT', body: content, headers: { 'Content-Type': file.type } })
  return { sha256: digest, name: file.name, thumb }
}

/** The pictures among what was dropped or pasted. */
export const filesOf = (data: DataTransfer | null): File[] => [...(data?.files ?? [])].filter((file) => file.type.startsWith('image/'))
