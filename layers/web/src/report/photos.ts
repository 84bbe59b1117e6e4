/** From the camera's file to a JPEG small enough to be kept on the phone until the network is there. */
import { scale } from '../../../../field_app/src/core/photo'

/** The photo as a data address. Raises when the file is no picture. */
export async function shrink(file: Blob): Promise<string> {
  const { content } = await scale(file)
  return await new Promise<string>((done, fail) => {
    const reader = new FileReader()
    reader.onload = () => done(String(reader.result))
    reader.onerror = () => fail(reader.error ?? new Error('unread'))
    reader.readAsDataURL(new Blob([content], { type: 'image/jpeg' }))
  })
}
