/** Values of command-line options, with a clear word when they are no such value. */
import { systemClock } from '@tributary/runtime'
import { InvalidArgumentError } from 'commander'

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('must be a whole number.')
  return Number(text)
}

export function port(text: string): number {
  const value = wholeNumber(text)
  if (value > 65_535) throw new InvalidArgumentError('must be a port, 0 to 65535.')
  return value
}

/** "90s" → milliseconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text)
  if (!match) throw new InvalidArgumentError('must be a number and a unit, such as 90s or 10m.')
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] as 'ms' | 's' | 'm' | 'h']
}

/** "2026-05-01T08:00:00Z", milliseconds since 1970, or how long ago: "2h" → milliseconds since 1970. */
export function moment(text: string): number {
  const ago = /^\d+(\.\d+)?(ms|s|m|h)$/.test(text)
  const timeMs = ago ? systemClock.wallMs() - duration(text) : /^\d+$/.test(text) ? Number(text) : Date.parse(text)
  if (!Number.isFinite(timeMs))
    throw new InvalidArgumentError('must be a time such as 2026-05-01T08:00:00Z, or how long ago, such as 2h.')
  return timeMs
}

/** "64MiB" → bytes. */
export function byteCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)?$/.exec(text)
  if (!match) throw new InvalidArgumentError('must be a size, such as 64MiB.')
  return Math.round(Number(match[1]) * { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }[(match[2] ?? 'B') as 'B'])
}

/** "10" or "max". */
export function speed(text: string): number {
  const value = text === 'max' ? Infinity : Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('must be a number above 0, or max.')
  return value
}
