import type { DeviceBlock, FieldColumn } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { fieldKey } from './line-protocol.ts'
import { type DeviceSeries, layoutNamed } from './series.ts'

export const FLAGS_FIELD = 'contract_flags'
const FLAGS_KEY = fieldKey(FLAGS_FIELD)

/** One line a sample, with all its accepted fields, and what it is marked with. */
export function writeSamples(
  s: BatchScope,
  series: DeviceSeries,
  block: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
  flags: readonly (string | undefined)[] | null,
): void {
  const { lines } = s.effects
  const { columns, timesMs } = block
  const fields = columns.map(({ field }) => layoutNamed(series, field) ?? series.shape.extras.get(field))
  let stored = 0
  let newest = series.newestMs
  for (let i = 0; i < timesMs.length; i++) {
    let readings = 0
    lines.begin(series.prefix)
    for (let c = 0; c < columns.length; c++) {
      const column = columns[c] as FieldColumn
      const field = fields[c]
      if (field === undefined || (column.present !== null && column.present[i] === 0)) continue
      if (refusals.length > 0 && refusals[c]?.[i] === 1) continue
      readings += 1
      if (column.type === 'number') {
        const value = column.values[i] as number
        if (field.type === 'integer') lines.integer(field.key, value)
        else lines.float(field.key, value, field.scale)
      } else if (column.type === 'boolean') lines.boolean(field.key, column.values[i] === 1)
      else lines.string(field.key, column.values[i] as string)
    }
    const flag = flags?.[i]
    if (flag !== undefined && readings > 0) lines.string(FLAGS_KEY, flag)
    const timeMs = timesMs[i] as number
    lines.end(series.prefix, timeMs, readings, s.originIndex)
    stored += readings
    if (readings > 0 && timeMs > newest) newest = timeMs
  }
  series.newestMs = newest
  s.state.counters.readings += stored
  if (s.epoch) s.epoch.stored += stored
  if (s.live && timesMs.length > 0) s.effects.sampleTimesMs.push(timesMs[timesMs.length >> 1] as number)
}
