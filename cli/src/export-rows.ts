/** Batches as text: a JSON line a sample, or a CSV row a reading. Pure. */
import type { Batch, DeviceBlock, FieldColumn, RollupBlock, RollupColumn } from '@tributary/protocol'

export const EXPORT_FORMATS = ['ndjson', 'csv'] as const
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

export const CSV_HEAD = 'agent,epoch,batch,device,kind,time_ms,window_ms,field,value'

export interface TimeBounds {
  /** Event time, milliseconds since 1970; from inclusive, to exclusive. */
  readonly fromMs: number
  readonly toMs: number
}

export interface BatchText {
  /** Each with its line end. */
  readonly lines: string
  readonly readings: number
  /** Of roll-ups: what is left of readings that were shed. */
  readonly windows: number
}

type Value = number | boolean | string

/** What of a batch was measured within the bounds. Strings are quoted as RFC 4180 says. */
export function batchText(batch: Batch, format: ExportFormat, { fromMs, toMs }: TimeBounds): BatchText {
  const { agent, epoch, sequence } = batch.header
  const lines: string[] = []
  let readings = 0
  let windows = 0
  const write = (
    { device, kind }: { device: string; kind: string },
    timeMs: number,
    widthMs: number | undefined,
    fields: readonly (readonly [field: string, value: Value])[],
  ) => {
    if (format === 'ndjson')
      lines.push(
        JSON.stringify({
          agent,
          epoch,
          batch: sequence,
          device,
          kind,
          time_ms: timeMs,
          ...(widthMs !== undefined && { window_ms: widthMs }),
          fields: Object.fromEntries(fields),
        }),
      )
    else {
      const start = [agent, epoch, sequence, device, kind, timeMs, widthMs ?? ''].map(csvCell).join(',')
      for (const [field, value] of fields) lines.push(`${start},${csvCell(field)},${csvCell(value)}`)
    }
  }
  for (const block of batch.blocks)
    for (let i = 0; i < block.timesMs.length; i++) {
      const timeMs = block.timesMs[i] as number
      if (timeMs < fromMs || timeMs >= toMs) continue
      const fields = fieldsAt(block, i)
      readings += fields.length
      write(block, timeMs, undefined, fields)
    }
  for (const block of batch.rollups)
    for (let i = 0; i < block.timesMs.length; i++) {
      const startMs = block.timesMs[i] as number
      if (startMs + block.widthMs <= fromMs || startMs >= toMs) continue
      windows += 1
      write(block, startMs, block.widthMs, windowAt(block, i))
    }
  return { lines: lines.length === 0 ? '' : `${lines.join('\n')}\n`, readings, windows }
}

const fieldsAt = ({ columns }: DeviceBlock, i: number): [string, Value][] =>
  columns.filter(({ present }) => !present || present[i] === 1).map((column) => [column.field, valueAt(column, i)])

const valueAt = (column: FieldColumn, i: number): Value =>
  column.type === 'boolean' ? column.values[i] === 1 : (column.values[i] as Value)

/** Named as the processor names the fields of its windows. */
const windowAt = ({ columns }: RollupBlock, i: number): [string, Value][] =>
  columns.filter(({ counts }) => (counts[i] as number) > 0).flatMap((column) => statisticsAt(column, i))

function statisticsAt(column: RollupColumn, i: number): [string, Value][] {
  const { field } = column
  const count = column.counts[i] as number
  const counted: [string, Value] = [`${field}_count`, count]
  switch (column.type) {
    case 'number':
      return [
        counted,
        [`${field}_mean`, (column.sums[i] as number) / count],
        [`${field}_min`, column.minimums[i] as number],
        [`${field}_max`, column.maximums[i] as number],
        [`${field}_stddev`, count < 2 ? 0 : Math.sqrt((column.spreads[i] as number) / count / (count - 1))],
        [`${field}_last`, column.lasts[i] as number],
      ]
    case 'boolean':
      return [
        counted,
        [`${field}_mean`, (column.trueCounts[i] as number) / count],
        [`${field}_last`, column.lasts[i] === 1],
      ]
    case 'string':
      return [counted, [`${field}_last`, column.lasts[i] as string]]
  }
}

/** Quoted where RFC 4180 asks for it. */
export function csvCell(value: Value): string {
  const text = String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
