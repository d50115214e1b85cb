/** What a block of windows may not be. */
import { ROLLUP_WIDTH_MS_MAX, STRING_VALUE_BYTES_MAX } from './limits.ts'
import type { RollupBlock, RollupColumn } from './rollup.ts'
import { isCount, isTime, nameFault, textFault, timeFault } from './value-faults.ts'

/** Numbers that decoding a window of the column takes. */
const STATISTICS: Readonly<Record<RollupColumn['type'], number>> = { number: 7, boolean: 4, string: 3 }

/** Windows (at least one) times statistics. */
export const rollupSlots = ({ timesMs, columns }: RollupBlock): number =>
  columns.reduce((sum, { type }) => sum + STATISTICS[type], 0) * Math.max(1, timesMs.length)

/** @param sequence of the batch in which the block stands */
export function rollupFault(block: RollupBlock, sequence: number): string | undefined {
  const { device, kind, widthMs, fromSequence, toSequence, timesMs, columns } = block
  const named = nameFault('a device', device) ?? nameFault('a kind', kind)
  if (named) return named
  if (!isCount(widthMs) || widthMs === 0 || widthMs > ROLLUP_WIDTH_MS_MAX) return `a window of ${widthMs} ms`
  if (!isCount(fromSequence) || !isCount(toSequence) || fromSequence === 0 || fromSequence > toSequence)
    return `a roll-up of the sequences ${fromSequence} to ${toSequence}`
  if (toSequence >= sequence) return `sequence ${sequence} holds a roll-up of sequence ${toSequence}`
  let previousMs = Number.NEGATIVE_INFINITY
  for (const startMs of timesMs) {
    if (!isTime(startMs)) return timeFault(`a window of ${device} began at`, startMs)
    if (startMs % widthMs !== 0 || startMs <= previousMs)
      return `${device}: a window begins at ${startMs} ms; ascending multiples of ${widthMs} are allowed`
    previousMs = startMs
  }
  const seen = new Set<string>()
  for (const column of columns) {
    const fault = nameFault('a field', column.field) ?? columnFault(column, widthMs, timesMs.length)
    if (fault) return `${device} ${column.field}: ${fault}`
    const key = `${column.type} ${column.field}`
    if (seen.has(key)) return `${device} ${column.field}: two columns of one type`
    seen.add(key)
  }
  return undefined
}

function columnFault(column: RollupColumn, widthMs: number, windows: number): string | undefined {
  const { counts, lastOffsetsMs } = column
  if (statisticsOf(column).some((statistic) => statistic.length !== windows))
    return `not one slot for each of ${windows} windows`
  for (let i = 0; i < windows; i++) {
    const count = counts[i] as number
    const offsetMs = lastOffsetsMs[i] as number
    if (!isCount(count)) return `a window of ${count} readings`
    if (!(offsetMs >= 0 && offsetMs < widthMs)) return `a last reading ${offsetMs} ms after the start of its window`
    if (count === 0) continue
    if (column.type === 'number') {
      const [minimum, maximum, last] = [column.minimums[i], column.maximums[i], column.lasts[i]] as number[] as Triple
      // A mean and squares may overflow where readings do not.
      if (!(minimum <= last && last <= maximum) || !Number.isFinite(minimum) || !Number.isFinite(maximum))
        return `a window from ${minimum} to ${maximum} with ${last} as its last value`
    } else if (column.type === 'boolean') {
      const trueCount = column.trueCounts[i] as number
      if (!isCount(trueCount) || trueCount > count) return `${trueCount} of ${count} readings are true`
    } else {
      const fault = textFault('a string value', column.lasts[i] as string, STRING_VALUE_BYTES_MAX)
      if (fault) return fault
    }
  }
  return undefined
}

type Triple = [minimum: number, maximum: number, last: number]

function statisticsOf(column: RollupColumn): readonly { readonly length: number }[] {
  const common = [column.counts, column.lastOffsetsMs, column.lasts]
  if (column.type === 'number') return [...common, column.sums, column.spreads, column.minimums, column.maximums]
  return column.type === 'boolean' ? [...common, column.trueCounts] : common
}
