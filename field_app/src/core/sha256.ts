/** SHA-256 as lower-case hexadecimal. The browser's own, or ours where a page without TLS has none. */

const K = new Uint32Array(64)
const START = new Uint32Array(8)

/** Fractional parts of the cube and square roots of the first primes (FIPS 180-4). */
function constants(): void {
  const fraction = (x: number) => ((x - Math.floor(x)) * 2 ** 32) >>> 0
  for (let n = 2, found = 0; found < 64; n++) {
    let prime = true
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false
    if (!prime) continue
    if (found < 8) START[found] = fraction(Math.sqrt(n))
    K[found++] = fraction(Math.cbrt(n))
  }
}

const turn = (x: number, by: number) => (x >>> by) | (x << (32 - by))

/** The digest in plain arithmetic. */
export function plainSha256(content: Uint8Array): string {
  if (!K[0]) constants()
  const blocks = Math.ceil((content.length + 9) / 64)
  const padded = new Uint8Array(blocks * 64)
  padded.set(content)
  padded[content.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setUint32(padded.length - 8, Math.floor(content.length / 2 ** 29))
  view.setUint32(padded.length - 4, (content.length * 8) >>> 0)
  const state = START.slice()
  const w = new Uint32Array(64)
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < 16; i++) w[i] = view.getUint32(block * 64 + i * 4)
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15]!
      const b = w[i - 2]!
      w[i] = w[i - 16]! + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[i - 7]! + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10))
    }
    let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number]
    for (let i = 0; i < 64; i++) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0
      ;[h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0]
    }
    for (const [i, x] of [a, b, c, d, e, f, g, h].entries()) state[i] = state[i]! + x
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, '0')).join('')
}

export async function sha256(content: ArrayBuffer): Promise<string> {
  if (!globalThis.crypto?.subtle) return plainSha256(new Uint8Array(content))
  const digest = await crypto.subtle.digest('SHA-256', content)
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
