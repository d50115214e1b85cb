/** Randomness without state: the same key and counter give the same number, in any order, on any machine. */

/** FNV-1a over UTF-8, mixed with the seed: one key a device. */
export function keyOf(text: string, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return mix(hash)
}

/** The finaliser of MurmurHash3: every input bit flips each output bit with probability one half. */
function mix(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** 32 random bits for (key, salt, counter); the counter may be any integer up to 2^53. */
export function bits(key: number, salt: number, counter: number): number {
  const salted = mix((key + Math.imul(salt + 1, 0x9e3779b1)) | 0)
  const high = mix(salted ^ Math.floor(counter / 0x100000000))
  return mix((high + (counter >>> 0)) | 0)
}

/** 0 ≤ x < 1. */
export const uniform = (key: number, salt: number, counter: number): number => bits(key, salt, counter) / 0x100000000

/** Mean 0, standard deviation 1, never beyond ±3.47: a sum of four uniforms, so that noise alone is never an outlier. */
export function bell(key: number, salt: number, counter: number): number {
  const a = bits(key, salt, counter)
  const b = mix(a ^ 0x5bd1e995)
  const sum = (a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16)
  return (sum / 0x10000 - 2) * Math.sqrt(3)
}

/** A smooth random walk between -1 and 1 that turns about once a period. */
export function wander(key: number, salt: number, timeMs: number, periodMs: number): number {
  const at = timeMs / periodMs
  const cell = Math.floor(at)
  const part = at - cell
  const from = uniform(key, salt, cell) * 2 - 1
  const to = uniform(key, salt, cell + 1) * 2 - 1
  return from + (to - from) * part * part * (3 - 2 * part)
}
