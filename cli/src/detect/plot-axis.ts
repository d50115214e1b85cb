/** Where the marks of an axis stand and what is written there. */
import type { TimeZone } from './time-zone.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365.25 * DAY
const CLOCK_STEPS_MS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 4, 7, 14].map((n) => n * DAY),
]
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 2_400, 6_000, 12_000]
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

export interface Mark<Place = number> {
  readonly at: Place
  readonly text: string
  /** A second line: the day or year that begins here. */
  readonly below?: string
}

/** Even steps of 1, 2 or 5 times a power of ten. */
export function numberMarks(low: number, high: number, marksMax: number): Mark[] {
  const rough = (high - low) / marksMax
  if (!(rough > 0) || !Number.isFinite(rough)) return [{ at: low, text: numberText(low, 0) }]
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((n) => n * power >= rough) ?? 10) * power
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9))
  const marks: Mark[] = []
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9 && marks.length <= 2 * marksMax; n++)
    marks.push({ at: n * step, text: numberText(n * step, decimals) })
  return marks
}

function numberText(value: number, decimals: number): string {
  const size = Math.abs(value)
  if (size >= 1e9 || decimals > 6)
    return value === 0
      ? '0'
      : value
          .toExponential()
          .replace(/(\.\d{3})\d*/, '$1')
          .replace('e+', 'e')
  const text = value.toLocaleString('en-GB', { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
  return text.replace(/^-(?=[0.,]*$)/, '').replace('-', '−')
}

/** Full hours, days, months of a zone's clock. */
export function timeMarks(fromMs: number, toMs: number, marksMax: number, zone: TimeZone): Mark[] {
  const spanMs = toMs - fromMs
  const wall = (timeMs: number) => new Date(timeMs + zone.offsetMs(timeMs))
  const step = CLOCK_STEPS_MS.find((ms) => spanMs / ms <= marksMax)
  const marks: Mark[] = []
  const startMs = wall(fromMs).getTime()
  let below = ''
  /** @returns whether there may be more */
  const push = (wallMs: number, text: string, context: string): boolean => {
    const at = zone.timeMs(wallMs, Number.NEGATIVE_INFINITY)
    if (!(at <= toMs) || marks.length > 2 * marksMax) return false
    if (at < fromMs) return true
    marks.push({ at, text, ...(context !== below && { below: context }) })
    below = context
    return true
  }
  if (step === undefined) {
    const months = MONTH_STEPS.find((n) => spanMs / ((n * YEAR) / 12) <= marksMax) ?? (MONTH_STEPS.at(-1) as number)
    const start = wall(fromMs)
    const first = Math.ceil((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months
    let more = true
    for (let month = first; more; month += months) {
      const date = new Date(0)
      date.setUTCFullYear(Math.floor(month / 12), month % 12, 1)
      const year = String(date.getUTCFullYear())
      more =
        months >= 12 ? push(date.getTime(), year, '') : push(date.getTime(), MONTHS[date.getUTCMonth()] as string, year)
    }
    return marks
  }
  let more = true
  for (let n = Math.ceil(startMs / step); more; n++) {
    const date = new Date(n * step)
    const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`
    more =
      step >= DAY
        ? push(n * step, day, String(date.getUTCFullYear()))
        : push(n * step, clockText(date, step), `${day} ${date.getUTCFullYear()}`)
  }
  return marks
}

const clockText = (date: Date, stepMs: number): string =>
  date.toISOString().slice(11, stepMs < SECOND ? 23 : stepMs < MINUTE ? 19 : 16)

/** Time since the first row, for files without times. */
export function elapsedMarks(toMs: number, marksMax: number): Mark[] {
  const units = [
    { ms: DAY, name: 'd' },
    { ms: HOUR, name: 'h' },
    { ms: MINUTE, name: 'min' },
    { ms: SECOND, name: 's' },
    { ms: 1, name: 'ms' },
  ]
  const unit = units.find(({ ms }) => toMs >= 2 * ms) ?? { ms: 1, name: 'ms' }
  return numberMarks(0, toMs / unit.ms, marksMax).map(({ at, text }) => ({
    at: at * unit.ms,
    text: `${text} ${unit.name}`,
  }))
}
