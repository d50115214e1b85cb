/**
 * Windows in place of samples, aligned to event time.
 *
 * Guarantee: merging the windows, in any order and to any wider grid that theirs divides, gives what the readings would have given: count,
 * minimum, maximum and last exactly, mean and deviation but for rounding (Welford 1962; Chan, Golub, LeVeque 1983).
 */
import { DECIMALS_MAX, type DeviceBlock, decimalsOf, type RollupBlock, type RollupColumn } from '@tributary/protocol'

export interface Rollups {
  /** Windows times statistics: what decoding will take. */
  readonly slots: number
  /** An upper estimate of what they take encoded, before compression. */
  readonly bytes: number
  addSamples(block: DeviceBlock): void
  /** Windows of the same width or of one that divides it. */
  addWindows(block: RollupBlock): void
  /** @param range of the sequences in which the samples stood */
  finish(range: { readonly fromSequence: number; readonly toSequence: number }): RollupBlock[]
}

const COUNT = 0
/** Of booleans: how many were true. */
const MEAN = 1
const M2 = 2
const MIN = 3
const MAX = 4
const LAST = 5
const LAST_OFFSET = 6
const CELLS = 7

interface WindowColumn {
  readonly field: string
  readonly type: RollupColumn['type']
  /** CELLS numbers a window. */
  cells: Float64Array
  readonly strings: string[]
}

interface Group {
  readonly device: string
  readonly kind: string
  readonly stampedByAgent: boolean
  /** Start → place in the columns. */
  readonly places: Map<number, number>
  readonly columns: Map<string, WindowColumn>
}

const SLOTS = { number: 7, boolean: 4, string: 3 } as const
const FIRST_WINDOWS = 8

export function createRollups(widthMs: number): Rollups {
  const groups = new Map<string, Group>()
  let stringBytes = 0

  const groupOf = ({
    device,
    kind,
    stampedByAgent,
  }: Pick<DeviceBlock, 'device' | 'kind' | 'stampedByAgent'>): Group => {
    const key = `${device} ${kind}${stampedByAgent ? ' stamped' : ''}`
    const known = groups.get(key)
    if (known) return known
    const group: Group = {
      device,
      kind,
      stampedByAgent: stampedByAgent === true,
      places: new Map(),
      columns: new Map(),
    }
    groups.set(key, group)
    return group
  }
  const columnOf = (group: Group, field: string, type: RollupColumn['type']): WindowColumn => {
    const key = `${type} ${field}`
    const known = group.columns.get(key)
    if (known) return known
    const column = { field, type, cells: new Float64Array(CELLS * FIRST_WINDOWS), strings: [] }
    group.columns.set(key, column)
    return column
  }
  const startOf = (timeMs: number): number => Math.floor(timeMs / widthMs) * widthMs
  const placeOf = ({ places }: Group, startMs: number): number => {
    const known = places.get(startMs)
    if (known !== undefined) return known
    places.set(startMs, places.size)
    return places.size - 1
  }
  const mergeString = (column: WindowColumn, place: number, count: number, offsetMs: number, value: string) => {
    const at = roomFor(column, place)
    const { cells, strings } = column
    const ours = cells[at + COUNT] as number
    const newer = offsetMs - (cells[at + LAST_OFFSET] as number)
    cells[at + COUNT] = ours + count
    if (ours > 0 && (newer < 0 || (newer === 0 && value <= (strings[place] as string)))) return
    stringBytes += Buffer.byteLength(value) - Buffer.byteLength(strings[place] ?? '')
    strings[place] = value
    cells[at + LAST_OFFSET] = offsetMs
  }

  return {
    get slots() {
      let slots = 0
      for (const { places, columns } of groups.values())
        for (const { type } of columns.values()) slots += places.size * SLOTS[type]
      return slots
    },
    get bytes() {
      let bytes = stringBytes
      for (const { places, columns } of groups.values()) {
        bytes += 150 + places.size * 8
        for (const { type } of columns.values()) bytes += 100 + places.size * SLOTS[type] * 8
      }
      return bytes
    },
    addSamples(block) {
      const group = groupOf(block)
      const { timesMs } = block
      const starts = Float64Array.from(timesMs, startOf)
      const places = Uint32Array.from(starts, (startMs) => placeOf(group, startMs))
      for (const { field, type, present, values } of block.columns) {
        const column = columnOf(group, field, type)
        for (let i = 0; i < timesMs.length; i++) {
          if (present !== null && present[i] === 0) continue
          const place = places[i] as number
          const offsetMs = (timesMs[i] as number) - (starts[i] as number)
          if (type === 'string') mergeString(column, place, 1, offsetMs, values[i] as string)
          else addReading(column, place, offsetMs, values[i] as number)
        }
      }
    },
    addWindows(block) {
      const group = groupOf(block)
      const starts = Float64Array.from(block.timesMs, startOf)
      const places = Uint32Array.from(starts, (startMs) => placeOf(group, startMs))
      for (const windows of block.columns) {
        const column = columnOf(group, windows.field, windows.type)
        for (let i = 0; i < places.length; i++) {
          const count = windows.counts[i] as number
          if (count === 0) continue
          const place = places[i] as number
          const offsetMs = (block.timesMs[i] as number) - (starts[i] as number) + (windows.lastOffsetsMs[i] as number)
          if (windows.type === 'string') mergeString(column, place, count, offsetMs, windows.lasts[i] as string)
          else mergeWindow(column, place, offsetMs, windows, i)
        }
      }
    },
    finish: (range) =>
      [...groups.values()].map(({ device, kind, stampedByAgent, places, columns }): RollupBlock => {
        const starts = [...places].sort(([a], [b]) => a - b)
        const order = starts.map(([, place]) => place)
        return {
          device,
          kind,
          widthMs,
          ...range,
          ...(stampedByAgent ? { stampedByAgent } : {}),
          timesMs: Float64Array.from(starts, ([startMs]) => startMs),
          columns: [...columns.values()].map((column) => finishColumn(column, order)),
        }
      }),
  }
}

/** @returns where the window's cells begin */
function roomFor(column: WindowColumn, place: number): number {
  const at = place * CELLS
  if (at + CELLS > column.cells.length) {
    const larger = new Float64Array(Math.max(at + CELLS, column.cells.length * 2))
    larger.set(column.cells)
    column.cells = larger
  }
  return at
}

function addReading(column: WindowColumn, place: number, offsetMs: number, value: number): void {
  // No contract takes it; it would make the whole window one that says nothing.
  if (!Number.isFinite(value)) return
  const at = roomFor(column, place)
  const { cells, type } = column
  const count = (cells[at + COUNT] as number) + 1
  cells[at + COUNT] = count
  if (type === 'boolean') cells[at + MEAN] = (cells[at + MEAN] as number) + value
  else {
    const delta = value - (cells[at + MEAN] as number)
    cells[at + MEAN] = (cells[at + MEAN] as number) + delta / count
    cells[at + M2] = (cells[at + M2] as number) + delta * (value - (cells[at + MEAN] as number))
  }
  takeExtremes(cells, at, count === 1, value, value, value, offsetMs)
}

type Numbers = Extract<RollupColumn, { type: 'number' | 'boolean' }>

function mergeWindow(column: WindowColumn, place: number, offsetMs: number, windows: Numbers, i: number): void {
  const at = roomFor(column, place)
  const { cells } = column
  const ours = cells[at + COUNT] as number
  const theirs = windows.counts[i] as number
  const count = ours + theirs
  const last = windows.lasts[i] as number
  cells[at + COUNT] = count
  if (windows.type === 'boolean') {
    cells[at + MEAN] = (cells[at + MEAN] as number) + (windows.trueCounts[i] as number)
    takeExtremes(cells, at, ours === 0, last, last, last, offsetMs)
    return
  }
  const delta = (windows.sums[i] as number) / theirs - (cells[at + MEAN] as number)
  cells[at + M2] =
    (cells[at + M2] as number) + (windows.spreads[i] as number) / theirs + (delta * delta * ours * theirs) / count
  cells[at + MEAN] = (cells[at + MEAN] as number) + (delta * theirs) / count
  takeExtremes(cells, at, ours === 0, windows.minimums[i] as number, windows.maximums[i] as number, last, offsetMs)
}

function takeExtremes(
  cells: Float64Array,
  at: number,
  isFirst: boolean,
  minimum: number,
  maximum: number,
  last: number,
  offsetMs: number,
): void {
  if (isFirst || minimum < (cells[at + MIN] as number)) cells[at + MIN] = minimum
  if (isFirst || maximum > (cells[at + MAX] as number)) cells[at + MAX] = maximum
  const newer = offsetMs - (cells[at + LAST_OFFSET] as number)
  if (isFirst || newer > 0 || (newer === 0 && last > (cells[at + LAST] as number))) {
    cells[at + LAST] = last
    cells[at + LAST_OFFSET] = offsetMs
  }
}

function finishColumn({ field, type, cells, strings }: WindowColumn, order: readonly number[]): RollupColumn {
  // A column may have less room than the block has windows: those at its end lack the field.
  const pick = (cell: number) => Float64Array.from(order, (place) => cells[place * CELLS + cell] ?? 0)
  const common = { field, counts: pick(COUNT), lastOffsetsMs: pick(LAST_OFFSET) }
  if (type === 'string') return { ...common, type, lasts: order.map((place) => strings[place] ?? '') }
  const lasts = pick(LAST)
  if (type === 'boolean') return { ...common, type, lasts: Uint8Array.from(lasts), trueCounts: pick(MEAN) }
  const [minimums, maximums] = [pick(MIN), pick(MAX)]
  const sums = pick(MEAN)
  const spreads = pick(M2)
  for (let i = 0; i < sums.length; i++) {
    const count = common.counts[i] as number
    if (count === 0) continue
    const largest = Math.max(Math.abs(minimums[i] as number), Math.abs(maximums[i] as number))
    const decimals = Math.max(
      decimalsOf(minimums[i] as number),
      decimalsOf(maximums[i] as number),
      decimalsOf(lasts[i] as number),
    )
    sums[i] = asDecimal((sums[i] as number) * count, decimals, 1e-13 * count * largest)
    const spread = (spreads[i] as number) * count
    spreads[i] = asDecimal(spread, decimals * 2, 1e-11 * spread + (1e-12 * count * largest) ** 2)
  }
  return { ...common, type, sums, spreads, minimums, maximums, lasts }
}

/**
 * The nearest number of so few decimals, or a few more, which is the true one where the readings have them; the value itself where none
 * is near enough.
 */
function asDecimal(value: number, decimalsMin: number, tolerance: number): number {
  for (let decimals = decimalsMin; decimals <= DECIMALS_MAX; decimals++) {
    const power = 10 ** decimals
    const rounded = Math.round(value * power) / power
    if (Math.abs(rounded - value) <= tolerance) return rounded + 0
  }
  return value
}
