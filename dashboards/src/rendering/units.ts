/** Numbers as people read them, by Grafana's unit ids. */
import { localTime } from './time-range.ts'

export interface Formatted {
  readonly text: string
  /** With the space that belongs before it; '' for none. */
  readonly suffix: string
}

type Format = (value: number, decimals: number | undefined) => Formatted

/** Enough digits to tell values apart: three or so that count. */
function autoDecimals(value: number): number {
  const size = Math.abs(value)
  if (size === 0 || Number.isInteger(value)) return 0
  return Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(size))))
}

export function fixed(value: number, decimals: number | undefined): string {
  const text = value.toFixed(Math.min(20, decimals ?? autoDecimals(value)))
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text
}

const withSuffix =
  (suffix: string): Format =>
  (value, decimals) => ({ text: fixed(value, decimals), suffix })

/** Steps of a size, with the factor between them. */
const scaled =
  (factor: number, suffixes: readonly string[]): Format =>
  (value, decimals) => {
    let step = 0
    let rest = value
    while (Math.abs(rest) >= factor && step < suffixes.length - 1) {
      rest /= factor
      step++
    }
    return {
      text: fixed(rest, step === 0 ? decimals : (decimals ?? autoDecimals(rest))),
      suffix: suffixes[step] as string,
    }
  }
const si = (unit: string): Format =>
  scaled(
    1000,
    ['', 'k', 'M', 'G', 'T'].map((prefix) => ` ${prefix}${unit}`),
  )

/** With a space between thousands, which reads the same in every language. */
const grouped: Format = (value, decimals) => {
  const [whole = '', fraction] = fixed(value, decimals).split('.')
  const text = whole.replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f')
  return { text: fraction ? `${text}.${fraction}` : text, suffix: '' }
}

const DURATIONS: readonly [size: number, suffix: string][] = [
  [86_400_000, ' d'],
  [3_600_000, ' h'],
  [60_000, ' min'],
  [1_000, ' s'],
]
const duration =
  (unitMs: number, smallest: string): Format =>
  (value, decimals) => {
    const ms = Math.abs(value * unitMs)
    const [size, suffix] = DURATIONS.find(([s]) => ms >= s && s > unitMs) ?? [unitMs, smallest]
    return { text: fixed((value * unitMs) / size, size === unitMs ? decimals : (decimals ?? 1)), suffix }
  }

const FORMATS: Readonly<Record<string, Format>> = {
  none: withSuffix(''),
  short: scaled(1000, ['', ' K', ' Mil', ' Bil']),
  locale: grouped,
  percent: withSuffix('%'),
  celsius: withSuffix(' °C'),
  pressurehpa: withSuffix(' hPa'),
  volt: si('V'),
  amp: si('A'),
  watt: si('W'),
  watth: si('Wh'),
  bytes: scaled(1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']),
  decbytes: scaled(1000, [' B', ' kB', ' MB', ' GB', ' TB']),
  Bps: scaled(1000, [' B/s', ' kB/s', ' MB/s', ' GB/s']),
  s: duration(1_000, ' s'),
  ms: duration(1, ' ms'),
}

const TIME_FORMATS: Readonly<Record<string, (timeMs: number, nowMs: number) => string>> = {
  dateTimeFromNow: (timeMs, nowMs) => fromNow(nowMs - timeMs),
  dateTimeAsLocal: (timeMs) => localTime(timeMs),
}

export const isKnownUnit = (unit: string): boolean =>
  unit.startsWith('suffix:') || unit in FORMATS || unit in TIME_FORMATS
export const isTimeUnit = (unit: string | undefined): boolean => unit !== undefined && unit in TIME_FORMATS

export function formatValue(
  value: number,
  unit: string | undefined,
  decimals: number | undefined,
  nowMs: number,
): Formatted {
  const time = TIME_FORMATS[unit ?? '']
  if (time) return { text: time(value, nowMs), suffix: '' }
  if (unit?.startsWith('suffix:')) return { text: fixed(value, decimals), suffix: ` ${unit.slice(7).trim()}` }
  return (FORMATS[unit ?? 'none'] ?? (FORMATS['none'] as Format))(value, decimals)
}

function fromNow(ageMs: number): string {
  if (Math.abs(ageMs) < 1_000) return 'now'
  const size = Math.abs(ageMs)
  const [amount, unit] =
    size < 60_000
      ? [size / 1_000, 's']
      : size < 3_600_000
        ? [size / 60_000, 'min']
        : size < 86_400_000
          ? [size / 3_600_000, 'h']
          : [size / 86_400_000, 'd']
  const text = `${Math.floor(amount)} ${unit}`
  return ageMs < 0 ? `in ${text}` : `${text} ago`
}
