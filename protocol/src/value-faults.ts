/** What is wrong with one value of a batch: a count, a time, a name. `undefined` is said of what is right. */
import { NAME_BYTES_MAX } from './limits.ts'

export const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0
export const isCount32 = (value: number): boolean => isCount(value) && value <= 0xffffffff

/** What a Date can hold: beyond it, formatting a time throws. */
const TIME_MS_MAX = 8.64e15
export const isTime = (timeMs: number): boolean => Math.abs(timeMs) <= TIME_MS_MAX
export const timeFault = (what: string, timeMs: number): string | undefined =>
  isTime(timeMs) ? undefined : `${what} ${timeMs} ms, which is no time`

export const epochFault = (epoch: string): string | undefined =>
  /^[0-9a-f]{16}$/.test(epoch) ? undefined : `"${epoch}" is no epoch: 16 lower-case hexadecimal digits`

export function textFault(what: string, text: string, bytesMax: number): string | undefined {
  if (text.length * 3 <= bytesMax) return undefined
  const bytes = Buffer.byteLength(text)
  return bytes <= bytesMax ? undefined : `${what} has ${bytes} bytes; ${bytesMax} are allowed`
}

// Names of devices, kinds and fields come from devices; the contract judges them. Here only what would break a wire or a screen.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/

export function nameFault(what: string, name: string): string | undefined {
  if (name === '') return `${what} without a name`
  if (CONTROL_CHARACTER.test(name)) return `${what} named ${JSON.stringify(name)}, with a control character`
  return textFault(`the name of ${what}`, name, NAME_BYTES_MAX)
}
