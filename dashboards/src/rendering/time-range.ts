/** Time ranges as Grafana writes them: `now-15m`, `now-1d/d`, or milliseconds since 1970. */

export interface RawRange {
  readonly from: string
  readonly to: string
}
/** Milliseconds since 1970. */
export interface TimeRange {
  readonly fromMs: number
  readonly toMs: number
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}
const UNIT_NAMES: Readonly<Record<string, string>> = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' }
const RANGE_MS_MIN = 1_000

/** "5s" → 5000; undefined when it is no duration. */
export function durationMs(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(text)
  return match ? Number(match[1]) * (UNIT_MS[match[2] as string] as number) : undefined
}

/** One end of a range; undefined when it cannot be read. Days round in local time. */
export function momentMs(text: string, nowMs: number): number | undefined {
  if (/^-?\d{1,16}$/.test(text)) return Number(text)
  const match = /^now(?:([-+])(\d+(?:ms|s|m|h|d|w)))?(?:\/(d))?$/.exec(text)
  if (!match) return undefined
  const [, sign, amount, rounding] = match
  const moment = nowMs + (sign === '-' ? -1 : 1) * (amount ? (durationMs(amount) as number) : 0)
  return rounding ? new Date(moment).setHours(0, 0, 0, 0) : moment
}

/** The range in milliseconds; what cannot be read is taken from `fallback`. */
export function resolveRange(raw: RawRange, nowMs: number, fallback: RawRange): TimeRange {
  const fromMs = momentMs(raw.from, nowMs) ?? (momentMs(fallback.from, nowMs) as number)
  const toMs = momentMs(raw.to, nowMs) ?? (momentMs(fallback.to, nowMs) as number)
  return toMs - fromMs >= RANGE_MS_MIN ? { fromMs, toMs } : { fromMs: toMs - RANGE_MS_MIN, toMs }
}

export const QUICK_RANGES: readonly { readonly label: string; readonly from: string; readonly to: string }[] = [
  ['Last 1 minute', 'now-1m'],
  ['Last 5 minutes', 'now-5m'],
  ['Last 15 minutes', 'now-15m'],
  ['Last 30 minutes', 'now-30m'],
  ['Last 1 hour', 'now-1h'],
  ['Last 3 hours', 'now-3h'],
  ['Last 6 hours', 'now-6h'],
  ['Last 12 hours', 'now-12h'],
  ['Last 24 hours', 'now-24h'],
  ['Last 2 days', 'now-2d'],
  ['Last 7 days', 'now-7d'],
  ['Last 30 days', 'now-30d'],
].map(([label, from]) => ({ label: label as string, from: from as string, to: 'now' }))

export function rangeLabel(raw: RawRange): string {
  const [, amount, unit] = /^now-(\d+)([smhdw])$/.exec(raw.from) ?? []
  if (amount && unit && raw.to === 'now') return `Last ${amount} ${UNIT_NAMES[unit]}${amount === '1' ? '' : 's'}`
  const show = (text: string) => (/^\d+$/.test(text) ? localTime(Number(text)) : text)
  return `${show(raw.from)} – ${show(raw.to)}`
}

const two = (value: number) => String(value).padStart(2, '0')
/** `2026-01-31 14:05:09`, local time. */
export function localTime(timeMs: number): string {
  const t = new Date(timeMs)
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`
}

/** The inverse of `localTime`, seconds optional; a range expression or milliseconds pass as they are. */
export function parseLocalTime(text: string, nowMs: number): string | undefined {
  const trimmed = text.trim()
  const match = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(trimmed)
  if (match) {
    const [year, month, day, hour, minute, second] = match.slice(1).map((part) => Number(part ?? 0)) as number[]
    const time = new Date(year as number, (month as number) - 1, day, hour, minute, second).getTime()
    return Number.isNaN(time) ? undefined : String(time)
  }
  return momentMs(trimmed, nowMs) === undefined ? undefined : trimmed
}

/** Twice as wide, around the same middle. */
export function zoomedOut({ fromMs, toMs }: TimeRange, nowMs: number): RawRange {
  const half = (toMs - fromMs) / 2
  const to = Math.min(toMs + half, Math.max(nowMs, toMs))
  return { from: String(Math.round(to - 4 * half)), to: String(Math.round(to)) }
}

const ROUND_INTERVALS_MS: readonly number[] = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 30_000, 60_000, 120_000, 300_000,
  600_000, 900_000, 1_200_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000,
  604_800_000,
]

/** `$__interval`: the range divided by the points that fit, rounded to a number that people like. */
export function intervalMs({ fromMs, toMs }: TimeRange, pointsMax: number, intervalMsMin: number): number {
  const exact = (toMs - fromMs) / Math.max(1, pointsMax)
  const round =
    ROUND_INTERVALS_MS.find((candidate, i) => {
      const next = ROUND_INTERVALS_MS[i + 1]
      return next === undefined || exact < (candidate + next) / 2
    }) ?? 1
  return Math.max(round, intervalMsMin)
}

/** 10000 → "10s": what stands in `GROUP BY time(…)`. */
export function intervalText(ms: number): string {
  for (const unit of ['w', 'd', 'h', 'm', 's'] as const) {
    const size = UNIT_MS[unit] as number
    if (ms >= size && ms % size === 0) return `${ms / size}${unit}`
  }
  return `${ms}ms`
}
