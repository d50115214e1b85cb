/**
 * Times as files have them: ISO with or without a zone, "YYYY-MM-DD HH:MM:SS", "DD.MM.YYYY HH:MM", "MM/DD/YYYY" or "DD/MM/YYYY", numbers
 * since 1970, or numbers of rows, which are an interval apart.
 */
import { type TimeZone, UTC } from './time-zone.ts'

const UNIT_MS = { s: 1_000, ms: 1, us: 1e-3, ns: 1e-6 } as const
export type TimeUnit = keyof typeof UNIT_MS | 'row'
export const TIME_UNITS: readonly TimeUnit[] = ['s', 'ms', 'us', 'ns', 'row']
export const TIMES_THAT_ARE_READ =
  '2026-01-31T14:00:00Z, 2026-01-31 14:00:00.5, 2026-01-31T14:00+01:00, 2026-01, 31.01.2026 14:00, 01/31/2026 2:00 PM, seconds, milliseconds, microseconds or nanoseconds since 1970, and numbers of rows'

/** Numbers of rows are smaller, seconds since 1973 larger. */
const ROWS_MAX = 1e8
const DATE_MS_MAX = 8.64e15
/** Beyond so many digits a double is not exact. */
const EXACT_DIGITS = 15
const NUMBER = /^[+-]?(\d+)(\.\d*)?(e[+-]?\d+)?$/i
const CLOCK =
  '(?:[T ,]\\s*(\\d{1,2}):(\\d{2})(?::(\\d{2})(?:[.,](\\d+))?)?\\s*([AP]M)?)?\\s*(Z|UTC|GMT|[+-]\\d{2}(?::?\\d{2})?)?$'
const YEAR_FIRST = new RegExp(`^(\\d{4})([-/.])(\\d{1,2})\\2(\\d{1,2})${CLOCK}`, 'i')
const SLASHED = new RegExp(`^(\\d{1,2})/(\\d{1,2})/(\\d{4})${CLOCK}`, 'i')
const MONTH = /^(\d{4})[-/](\d{1,2})$/
const DAY_FIRST = new RegExp(`^(\\d{1,2})\\.(\\d{1,2})\\.(\\d{4})${CLOCK}`, 'i')

export interface TimeCells {
  /** @returns milliseconds since 1970; undefined for what is no time */
  read(cell: string): number | undefined
  /** What was taken for granted so far: the unit of numbers, the zone of times that name none, the order of dates with slashes. */
  readonly assumed: { unit?: TimeUnit; zone?: string; order?: 'day/month/year' | 'month/day/year' }
}

/**
 * @param unit of numbers; else the first of them decides, by its size
 * @param rowMs how far rows are apart, where numbers count them
 * @param dayFirst of dates with slashes
 */
export function createTimeCells({
  zone = UTC,
  unit,
  rowMs = UNIT_MS.s,
  dayFirst = false,
}: {
  zone?: TimeZone
  unit?: TimeUnit | undefined
  rowMs?: number
  dayFirst?: boolean
} = {}): TimeCells {
  const assumed: TimeCells['assumed'] = {}
  let lastMs = Number.NEGATIVE_INFINITY
  const read = (text: string): number | undefined => {
    const number = NUMBER.exec(text)
    if (number) {
      assumed.unit ??= unit ?? unitOf(Math.abs(Number(text)))
      if (assumed.unit === 'row') return Number(text) * rowMs
      return numberMs(text, number[1] as string, number[2] === undefined && number[3] === undefined, assumed.unit)
    }
    const yearFirst = YEAR_FIRST.exec(text)
    if (yearFirst) return dateMs(yearFirst[1], yearFirst[3], yearFirst[4], yearFirst.slice(5))
    const dotted = DAY_FIRST.exec(text)
    if (dotted) return dateMs(dotted[3], dotted[2], dotted[1], dotted.slice(4))
    const slashed = SLASHED.exec(text)
    if (slashed) {
      assumed.order = dayFirst ? 'day/month/year' : 'month/day/year'
      const [, month, day] = dayFirst ? [0, slashed[2], slashed[1]] : slashed
      return dateMs(slashed[3], month, day, slashed.slice(4))
    }
    const month = MONTH.exec(text)
    return month ? dateMs(month[1], month[2], '1', []) : undefined
  }
  const dateMs = (
    yearText = '',
    monthText = '',
    dayText = '',
    [hourText = '0', minute = '0', second = '0', fraction = '', half = '', zoneText = '']: readonly (
      | string
      | undefined
    )[],
  ): number | undefined => {
    const [year, month, day] = [Number(yearText), Number(monthText), Number(dayText)]
    const date = new Date(0)
    date.setUTCFullYear(year, month - 1, day)
    const isDate = date.getUTCMonth() === month - 1 && date.getUTCDate() === day
    const isHalf = half !== '' && Number(hourText) >= 1 && Number(hourText) <= 12
    if (half !== '' && !isHalf) return undefined
    const hour = isHalf ? (Number(hourText) % 12) + (/p/i.test(half) ? 12 : 0) : Number(hourText)
    // 24:00 ends a day, and a second 60 was put in now and then.
    const isEnd = hour === 24 && Number(minute) === 0 && Number(second) === 0
    const isTime = (hour < 24 || isEnd) && Number(minute) < 60 && Number(second) <= 60
    if (!isDate || !isTime) return undefined
    const wallMs =
      date.getTime() +
      hour * 3_600_000 +
      Number(minute) * 60_000 +
      Number(second) * 1_000 +
      (fraction === '' ? 0 : Number(`0.${fraction}`) * 1_000)
    if (zoneText !== '') return wallMs - offsetMs(zoneText)
    assumed.zone = zone.name
    return zone.timeMs(wallMs, lastMs)
  }
  return {
    assumed,
    read(cell) {
      const timeMs = read(cell.trim())
      if (timeMs === undefined || !(Math.abs(timeMs) <= DATE_MS_MAX)) return undefined
      lastMs = timeMs
      return timeMs
    },
  }
}

/** Do these cells number rows, from any number on? Then most of them are one above the cell before. */
export function numberRows(cells: readonly string[]): boolean {
  const numbers = cells.map((cell) => (/^\d+(\.0*)?$/.test(cell) ? Number(cell) : Number.NaN))
  const next = numbers.filter((number, i) => number - (numbers[i - 1] ?? Number.NaN) === 1)
  return (numbers[0] as number) < ROWS_MAX && 2 * next.length > numbers.length - 1
}

/** Is there a date with slashes that only begins with its day? */
export const daysComeFirst = (cells: readonly string[]): boolean =>
  cells.some((cell) => Number(SLASHED.exec(cell)?.[1] ?? 0) > 12)

/** The unit that a column's name ends with: "time_ms", "Time (s)". */
export function unitNamed(name: string): TimeUnit | undefined {
  const unit = /[ _([](s|ms|us|ns)[)\]]?$/i.exec(name)?.[1]?.toLowerCase()
  return TIME_UNITS.find((one) => one === unit)
}

/** The unit in which a number is a time between 1973 and 5138; small numbers count seconds from any beginning. */
const unitOf = (size: number): Exclude<TimeUnit, 'row'> =>
  size < 1e11 ? 's' : size < 1e14 ? 'ms' : size < 1e17 ? 'us' : 'ns'

function numberMs(text: string, digits: string, isWhole: boolean, unit: keyof typeof UNIT_MS): number {
  const places = { s: 0, ms: 0, us: 3, ns: 6 }[unit]
  if (!isWhole || digits.length <= EXACT_DIGITS || places === 0) return Number(text) * UNIT_MS[unit]
  const whole = Number(`${digits.slice(0, -places)}.${digits.slice(-places)}`)
  return text.startsWith('-') ? -whole : whole
}

function offsetMs(zone: string): number {
  const match = /^([+-])(\d{2}):?(\d{2})?$/.exec(zone)
  if (!match) return 0
  const [, sign, hours = '0', minutes = '0'] = match
  return (sign === '-' ? -1 : 1) * (Number(hours) * 3_600_000 + Number(minutes) * 60_000)
}
