/**
 * A series of any length in bounded memory, for a picture: slices of time, each with what must be seen of it (lowest and highest value,
 * expected band, highest score, alarm). When the time does not fit any more, every two slices become one.
 */

export const BUCKETS_MAX = 2_048
const WIDTH_MS_FIRST = 2 ** -10
/** Across so many of the usual distances between rows no line is drawn. */
const GAP_STEPS = 20
const MESSAGE_CHARACTERS = 300
/** So that no sum or margin overflows; detectors do not look at larger ones either. */
const VALUE_MAX = 1e300

export interface PlotRow {
  readonly timeMs: number
  readonly value: number
  readonly score: number
  readonly lower: number | undefined
  readonly upper: number | undefined
  readonly alarm: boolean
  readonly message: string
}

export interface Bucket {
  readonly fromMs: number
  readonly toMs: number
  readonly first: number
  readonly last: number
  readonly min: number
  readonly max: number
  /** Sums over the rows that have a band. */
  readonly lower: number
  readonly upper: number
  readonly banded: number
  readonly score: number
  /** Of the alarm with the highest score. */
  readonly alarm:
    | { readonly timeMs: number; readonly value: number; readonly score: number; readonly message: string }
    | undefined
  /** Nothing was measured for a while before it. */
  readonly afterGap: boolean
}

export interface PlotBuckets {
  add(row: PlotRow): void
  /** Those that hold rows, in order of time. */
  filled(): Bucket[]
  readonly widthMs: number
}

export function createPlotBuckets(): PlotBuckets {
  let buckets: (Bucket | undefined)[] = []
  let originMs = Number.NaN
  let widthMs = WIDTH_MS_FIRST
  let lastMs = Number.NaN
  let stepMs = Number.NaN

  const halve = () => {
    const joined: (Bucket | undefined)[] = []
    for (let i = 0; i < buckets.length; i += 2) joined.push(join(buckets[i], buckets[i + 1]))
    buckets = joined
    widthMs *= 2
  }
  return {
    get widthMs() {
      return widthMs
    },
    filled: () => buckets.filter((bucket) => bucket !== undefined),
    add({ timeMs, value: given, score, lower, upper, alarm, message }) {
      const value = within(given)
      if (Number.isNaN(originMs)) originMs = timeMs
      const elapsedMs = timeMs - lastMs
      const afterGap = elapsedMs > GAP_STEPS * stepMs
      if (!Number.isNaN(elapsedMs))
        stepMs = Number.isNaN(stepMs) ? elapsedMs : stepMs + (Math.min(elapsedMs, 4 * stepMs) - stepMs) / 16
      lastMs = timeMs
      while (timeMs - originMs >= widthMs * BUCKETS_MAX) halve()
      const place = Math.floor((timeMs - originMs) / widthMs)
      const banded = lower !== undefined && upper !== undefined
      const one: Bucket = {
        fromMs: timeMs,
        toMs: timeMs,
        first: value,
        last: value,
        min: value,
        max: value,
        lower: banded ? within(lower) : 0,
        upper: banded ? within(upper) : 0,
        banded: banded ? 1 : 0,
        score,
        alarm: alarm ? { timeMs, value, score, message: message.slice(0, MESSAGE_CHARACTERS) } : undefined,
        afterGap,
      }
      buckets[place] = join(buckets[place], one)
    },
  }
}

const within = (value: number): number => Math.max(-VALUE_MAX, Math.min(VALUE_MAX, value))

/** @param a is earlier than `b` */
function join(a: Bucket | undefined, b: Bucket | undefined): Bucket | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return {
    fromMs: a.fromMs,
    toMs: b.toMs,
    first: a.first,
    last: b.last,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
    lower: a.lower + b.lower,
    upper: a.upper + b.upper,
    banded: a.banded + b.banded,
    score: Math.max(a.score, b.score),
    alarm: a.alarm === undefined || (b.alarm !== undefined && b.alarm.score > a.alarm.score) ? b.alarm : a.alarm,
    afterGap: a.afterGap,
  }
}
