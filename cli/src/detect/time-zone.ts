/** Wall-clock time of a zone to milliseconds since 1970, over changes to and from summer time. */
import { UserError } from '@tributary/runtime'

const QUARTER_MS = 900_000
const HALF_A_DAY_MS = 43_200_000
/** Offsets that are kept; all are forgotten beyond. */
const OFFSETS_MAX = 1_024

export interface TimeZone {
  readonly name: string
  /** How far the zone is ahead of UTC at a time. */
  offsetMs(timeMs: number): number
  /**
   * @param wallMs what the clock on the wall says, as if it were UTC
   * @param afterMs of an hour that comes twice the first is meant, unless that is not after this
   */
  timeMs(wallMs: number, afterMs: number): number
}

export const UTC: TimeZone = { name: 'UTC', offsetMs: () => 0, timeMs: (wallMs) => wallMs }

/** @throws UserError when there is no such zone */
export function timeZone(name: string): TimeZone {
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-GB', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch (cause) {
    throw new UserError(`there is no time zone "${name}"`, { hint: 'such as UTC or Europe/Berlin', cause })
  }
  const known = new Map<number, number>()
  // Zones change at full quarters of an hour.
  const offsetMs = (timeMs: number): number => {
    const quarter = Math.floor(timeMs / QUARTER_MS)
    let offset = known.get(quarter)
    if (offset === undefined) {
      const part = new Map(format.formatToParts(quarter * QUARTER_MS).map(({ type, value }) => [type, Number(value)]))
      const of = (type: Intl.DateTimeFormatPartTypes) => part.get(type) as number
      const wallMs = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'))
      offset = wallMs - quarter * QUARTER_MS
      if (known.size >= OFFSETS_MAX) known.clear()
      known.set(quarter, offset)
    }
    return offset
  }
  return {
    name,
    offsetMs,
    timeMs(wallMs, afterMs) {
      const before = offsetMs(wallMs - HALF_A_DAY_MS)
      const after = offsetMs(wallMs + HALF_A_DAY_MS)
      const [first = wallMs - before, second] = [...new Set([before, after])]
        .map((offset) => wallMs - offset)
        .filter((timeMs) => wallMs - offsetMs(timeMs) === timeMs)
        .sort((a, b) => a - b)
      return second !== undefined && first <= afterMs ? second : first
    },
  }
}
