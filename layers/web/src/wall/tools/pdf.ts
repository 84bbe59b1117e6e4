/** A PDF of one page that is one picture: ISO 32000-1, a JPEG as an image object. */
const encoder = new TextEncoder()

/** `paper` is the page's width and height in millimetres; `title` may hold any characters. */
export function pictureAsPdf(jpeg: Uint8Array, pixels: [number, number], paper: [number, number], title: string): Blob {
  const [width, height] = paper.map((mm) => ((mm * 72) / 25.4).toFixed(2))
  const drawing = `q ${width} 0 0 ${height} 0 0 cm /Page Do Q`
  // UTF-16 with its mark, as hexadecimal: the one form that holds Chinese everywhere.
  const named = `<FEFF${[...title].flatMap((c) => Array.from({ length: c.length }, (_, i) => c.charCodeAt(i).toString(16).padStart(4, '0'))).join('')}>`
  const objects: (string | [string, Uint8Array])[] = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${width} ${height}] /Contents 4 0 R /Resources << /XObject << /Page 5 0 R >> >> >>`,
    [`<< /Length ${drawing.length} >>`, encoder.encode(drawing)],
    [`<< /Type /XObject /Subtype /Image /Width ${pixels[0]} /Height ${pixels[1]} /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode /Length ${jpeg.length} >>`, jpeg],
    `<< /Title ${named} /Producer (Wangge) >>`,
  ]
  const parts: Uint8Array[] = [encoder.encode('%PDF-1.4\n')]
  const starts: number[] = []
  let at = parts[0]!.length
  const add = (part: string | Uint8Array) => {
    const bytes = typeof part === 'string' ? encoder.encode(part) : part
    parts.push(bytes)
    at += bytes.length
  }
  objects.forEach((object, i) => {
    starts.push(at)
    add(`${i + 1} 0 obj\n`)
    if (typeof object === 'string') add(object)
    else {
      add(`${object[0]}\nstream\n`)
      add(object[1])
      add('\nendstream')
    }
    add('\nendobj\n')
  })
  const table = at
  add(`xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${starts.map((start) => `${String(start).padStart(10, '0')} 00000 n \n`).join('')}`)
  add(`trailer\n<< /Size ${objects.length + 1} /Root 1 0 R /Info 6 0 R >>\nstartxref\n${table}\n%%EOF\n`)
  return new Blob(parts as BlobPart[], { type: 'application/pdf' })
}
