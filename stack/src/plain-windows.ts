/**
 * What the windows of a device must say, computed the plain way: all readings of a window sorted by time, ordinary arithmetic.
 * Pure, and nothing of the processor's: what both had wrong would not show. The rules are those of ARCHITECTURE.md.
 */
import { type Contract, type ContractField, storedType } from '@tributary/protocol'

export type ReadingValue = number | boolean | string

/** Accepted readings of one field of a device, ascending in time, each time once. */
export interface Column {
  readonly timesMs: readonly number[]
  readonly values: readonly ReadingValue[]
}

/** Of a device, by field. */
export type Readings = ReadonlyMap<string, Column>

/** A field of a row: the value, and how far from it the row may be. */
export interface Expected {
  readonly value: ReadingValue
  readonly slack: number
  /** It need not be said. */
  readonly isOptional?: boolean
}

/** Field of a row, such as `temperature_c_mean`, → what it must say. */
export type ExpectedRow = ReadonlyMap<string, Expected>

/** Rows so wide say which hour of the day they are, UTC. */
const HOUR_MS = 3_600_000
/** Of sums in another order. */
const ROUNDING = 1e-9
/** A deviation is the root of a difference of squares, where the digits of a large mean are lost. */
const DEVIATION_ROUNDING = 1e-6
const DEVIATION_SLACK_OF_LARGEST = 1e-12
/** Percentiles: within so much of the reading of that rank. */
const SKETCH_ERROR = 0.01
/** Readings smaller than this part of the largest of their window and sign are told as about that large. */
const SKETCH_SMALLEST_PART = 1 / 14_000
const SHARES = { p50: 0.5, p95: 0.95, p99: 0.99 }

/** The rank, from 0, among sorted readings, as InfluxQL's PERCENTILE has it. */
const rankOf = (share: number, count: number) => Math.max(0, Math.floor(share * count + 0.5) - 1)
const exactly = (value: ReadingValue): Expected => ({ value, slack: 0 })
const startOf = (timeMs: number, widthMs: number) => Math.floor(timeMs / widthMs) * widthMs

/**
 * @param sketched the readings of which the processor saw each one, when agents rolled up others: percentiles are of these
 * @returns by the start of the window, for each in which there are readings
 */
export function plainWindows(
  contract: Contract,
  readings: Readings,
  widthMs: number,
  sketched: Readings = readings,
): Map<number, ExpectedRow> {
  const rows = new Map<number, Map<string, Expected>>()
  for (const [name, field] of Object.entries(contract.fields)) {
    const column = readings.get(name)
    if (column === undefined) continue
    const seen = valuesByWindow(sketched.get(name), widthMs)
    for (const { startMs, from, to } of runsOf(column, widthMs)) {
      const row = rows.get(startMs) ?? new Map<string, Expected>()
      rows.set(startMs, row)
      const say = (what: string, expected: Expected) => row.set(`${name}_${what}`, expected)
      const values = column.values.slice(from, to)
      const type = storedType(field)
      say('count', exactly(values.length))
      say('last', exactly(values.at(-1) as ReadingValue))
      if (type === 'string') continue
      const numbers = values.map(Number)
      sayMean(say, numbers)
      if (type === 'boolean') continue
      sayStatistics(say, numbers)
      if (isCounter(field)) sayCounted(say, column, from, to, wrapOf(field))
      if (hasPercentiles(field)) sayPercentiles(say, seen.get(startMs) ?? [], numbers.length)
    }
  }
  if (widthMs === HOUR_MS) for (const [startMs, row] of rows) row.set('hour', exactly(new Date(startMs).getUTCHours()))
  return rows
}

type Say = (what: string, expected: Expected) => void

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

function sayMean(say: Say, values: readonly number[]): void {
  const mean = meanOf(values)
  say('mean', { value: mean, slack: ROUNDING * Math.max(1, Math.abs(mean)) })
}

function sayStatistics(say: Say, values: readonly number[]): void {
  const [min, max] = extremesOf(values)
  say('min', exactly(min))
  say('max', exactly(max))
  const mean = meanOf(values)
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  const deviation = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0
  const largest = Math.max(Math.abs(min), Math.abs(max))
  say('stddev', { value: deviation, slack: DEVIATION_ROUNDING * deviation + DEVIATION_SLACK_OF_LARGEST * largest })
}

function sayPercentiles(say: Say, values: readonly number[], all: number): void {
  const { length } = values
  if (length === 0) return
  const sorted = values.toSorted((a, b) => a - b)
  for (const [name, share] of Object.entries(SHARES)) {
    const value = sorted[rankOf(share, length)] as number
    const ofSign = sorted.filter((one) => Math.sign(one) === Math.sign(value))
    const [min, max] = extremesOf(ofSign)
    const smallest = Math.max(Math.abs(min), Math.abs(max)) * SKETCH_SMALLEST_PART
    const collapsed = Math.abs(value) < smallest ? smallest * (1 + SKETCH_ERROR) : 0
    say(name, { value, slack: SKETCH_ERROR * Math.abs(value) + collapsed })
  }
  // A row that said so once goes on saying it, when each reading came after all.
  say('sketched', { value: length, slack: 0, isOptional: length === all })
}

/**
 * What was counted from the last reading before the window to the last one in it. A fall is a wrap when the counter has a modulus and
 * the increase over it is less than a quarter of that; else one to half or less is a reset, which begins at 0; else a step
 * back, which counts nothing.
 */
function sayCounted(say: Say, { timesMs, values }: Column, from: number, to: number, wrapsAt: number): void {
  let increase = 0
  let resets = 0
  for (let i = Math.max(1, from); i < to; i++) {
    const before = values[i - 1] as number
    const now = values[i] as number
    const overWrap = now - before + wrapsAt
    if (now >= before) increase += now - before
    else if (overWrap < wrapsAt / 4) increase += overWrap
    else {
      resets += 1
      if (now <= before / 2) increase += Math.max(0, now)
    }
  }
  say('increase', { value: increase, slack: ROUNDING * Math.max(1, increase) })
  say('resets', exactly(resets))
  const elapsedMs = (timesMs[to - 1] as number) - (timesMs[Math.max(0, from - 1)] as number)
  if (elapsedMs === 0) return
  const rate = (increase * 1_000) / elapsedMs
  say('rate', { value: rate, slack: ROUNDING * Math.max(1, rate) })
}

function extremesOf(values: readonly number[]): [min: number, max: number] {
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const value of values) {
    min = Math.min(min, value)
    max = Math.max(max, value)
  }
  return [min, max]
}

const roleOf = (field: ContractField) =>
  (field.type === 'float' || field.type === 'integer') && field.sensitivity === 'none'
    ? (field.role ?? 'value')
    : 'none'
const isCounter = (field: ContractField) => roleOf(field) === 'counter'
const hasPercentiles = (field: ContractField) => roleOf(field) === 'value'
const wrapOf = (field: ContractField) => ('wraps_at' in field ? field.wraps_at : undefined) ?? Number.POSITIVE_INFINITY

/** Stretches [from, to) of a column that lie in one window. */
function* runsOf({ timesMs }: Column, widthMs: number): Generator<{ startMs: number; from: number; to: number }> {
  for (let from = 0; from < timesMs.length; ) {
    const startMs = startOf(timesMs[from] as number, widthMs)
    let to = from + 1
    while (to < timesMs.length && (timesMs[to] as number) < startMs + widthMs) to += 1
    yield { startMs, from, to }
    from = to
  }
}

const valuesByWindow = (column: Column = { timesMs: [], values: [] }, widthMs: number) =>
  new Map(
    [...runsOf(column, widthMs)].map(({ startMs, from, to }) => [startMs, column.values.slice(from, to).map(Number)]),
  )

/** Fields of a row that say nothing of its readings. */
const BESIDE = ['time', 'revision', 'rolled_up']

/**
 * The first thing that a row says otherwise than its readings: a value, a field that is not there, or one that there should not be.
 * @param said by field; null and undefined: not said
 */
export function differenceOf(expected: ExpectedRow, said: ReadonlyMap<string, unknown>): string | undefined {
  for (const [field, { value, slack, isOptional }] of expected) {
    const is = said.get(field) ?? undefined
    if (isOptional && is === undefined) continue
    const isRight = typeof value === 'number' ? typeof is === 'number' && Math.abs(is - value) <= slack : is === value
    if (!isRight) return `${field} ${is ?? 'is not there'} instead of ${value}`
  }
  for (const [field, is] of said)
    if (is !== null && is !== undefined && !expected.has(field) && !BESIDE.includes(field))
      return `${field} ${is}, of which there are no readings`
  return undefined
}
