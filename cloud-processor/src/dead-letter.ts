/** Makes dead letters: the same batch, processed again, makes the same ones under the same ids. */
import { crc32 } from 'node:zlib'
import {
  type BatchHeader,
  DEAD_LETTER_ORIGINAL_BYTES_MAX,
  type DeadLetter,
  type DeviceBlock,
  type EdgeDeadLetter,
  type FieldColumn,
  type RollupBlock,
  type RollupColumn,
} from '@tributary/protocol'
import type { Settlement } from './effects.ts'

/** Where a letter's readings came from, and when the stream received them (the time of the refusal, so that a replay says the same). */
export interface LetterOrigin {
  readonly site: string
  readonly agent: string
  readonly epoch: string
  readonly sequence: number
  readonly receivedAtMs: number
  /** They were in a letter that is requeued: its index, how often it was then, and what is said of it. */
  readonly again?: {
    readonly index: string
    readonly requeued: number
    /** The letter is a line that InfluxDB refused. */
    readonly isLine: boolean
    readonly settlement: Settlement
  }
}

export const originOf = (
  header: Pick<BatchHeader, 'agent' | 'epoch' | 'sequence'>,
  site: string,
  receivedAtMs: number,
): LetterOrigin => ({ site, agent: header.agent, epoch: header.epoch, sequence: header.sequence, receivedAtMs })

export const EPOCH_UNKNOWN = '0000000000000000'

function letter(
  origin: LetterOrigin,
  index: string,
  rest: Pick<DeadLetter, 'stage' | 'reason' | 'detail' | 'readingCount' | 'timeMs'> &
    Partial<Pick<DeadLetter, 'device' | 'kind' | 'field'>>,
  original: Uint8Array,
  originalBytes = original.length,
): DeadLetter {
  const { site, agent, epoch, sequence, receivedAtMs } = origin
  return {
    id: `${agent}/${epoch}/${sequence}/${index}`,
    device: '',
    kind: '',
    field: '',
    ...rest,
    site,
    agent,
    epoch,
    sequence,
    refusedAtMs: receivedAtMs,
    original: Buffer.from(original.subarray(0, DEAD_LETTER_ORIGINAL_BYTES_MAX)).toString('base64'),
    originalBytes,
  }
}

/** A message that is no batch, or not one of its sender. @param readingCount 0 when even that cannot be told */
export const decodeLetter = (
  origin: LetterOrigin,
  reason: string,
  detail: string,
  bytes: Uint8Array,
  readingCount: number,
  withheld = false,
): DeadLetter =>
  letter(
    origin,
    `batch-${crc32(bytes).toString(16).padStart(8, '0')}`,
    {
      stage: 'decode',
      reason,
      detail: withheld ? `${detail} (${WITHHELD})` : detail,
      readingCount,
      timeMs: origin.receivedAtMs,
    },
    withheld ? NOTHING : bytes,
    bytes.length,
  )

/** It may hold sensitive values, and nobody can tell where. */
const WITHHELD = 'the original is withheld: contracts have sensitive fields'
const NOTHING = new Uint8Array(0)

/** @param withheld neither the original is told nor what the agent quotes of it */
export const edgeLetter = (origin: LetterOrigin, index: number, edge: EdgeDeadLetter, withheld = false): DeadLetter =>
  letter(
    origin,
    `e${index}`,
    {
      stage: 'edge',
      reason: edge.reason,
      detail: `input ${edge.input}: ${withheld ? WITHHELD : edge.detail}`,
      readingCount: edge.readingCount,
      timeMs: edge.receivedAtMs,
      device: edge.device,
    },
    withheld ? NOTHING : edge.original,
    edge.originalBytes,
  )

/** Samples of one field that are refused for one reason. */
export interface ColumnRefusal {
  readonly field: string
  readonly reason: string
  readonly detail: string
  readonly samples: readonly number[]
  /** What each sample was compared with, when its step was too large or it came too soon; null: nothing is known. */
  readonly before?: readonly (number | null)[]
}

/**
 * Readings of one field that a contract refuses; several letters when the original would be too large for one.
 * @param nextIndex counts the contract letters of the batch
 */
export function contractLetters(
  origin: LetterOrigin,
  block: DeviceBlock,
  refusal: ColumnRefusal,
  columns: readonly FieldColumn[],
  sequenceColumn: FieldColumn | undefined,
  nextIndex: () => number,
): DeadLetter[] {
  const letters: DeadLetter[] = []
  let times: number[] = []
  let values: unknown[] = []
  let sequences: number[] = []
  let before: (number | null)[] = []
  let bytes = 0
  const flush = () => {
    if (times.length === 0) return
    const original = {
      times,
      values,
      ...(sequenceColumn === undefined ? {} : { sequences }),
      ...(refusal.before === undefined ? {} : { before }),
    }
    letters.push(
      letter(
        origin,
        `c${nextIndex()}`,
        {
          stage: 'contract',
          reason: refusal.reason,
          detail: refusal.detail,
          readingCount: times.length,
          timeMs: times[0] as number,
          device: block.device,
          kind: block.kind,
          field: refusal.field,
        },
        Buffer.from(JSON.stringify(original), 'utf8'),
      ),
    )
    times = []
    values = []
    sequences = []
    before = []
    bytes = 0
  }
  for (const [place, sample] of refusal.samples.entries()) {
    const column = columns.find(({ present }) => present === null || present[sample] === 1)
    if (column === undefined) continue
    const value = valueAt(column, sample)
    // A string of n UTF-16 units takes at most 6n bytes as JSON.
    const size = (refusal.before === undefined ? 48 : 72) + (typeof value === 'string' ? value.length * 6 : 0)
    if (bytes + size > DEAD_LETTER_ORIGINAL_BYTES_MAX - 256) flush()
    bytes += size
    times.push(block.timesMs[sample] as number)
    values.push(value)
    if (refusal.before !== undefined) before.push(refusal.before[place] ?? null)
    if (sequenceColumn !== undefined) sequences.push(valueAt(sequenceColumn, sample) as number)
  }
  flush()
  return letters
}

const ROLLUP_BYTES_MAX = DEAD_LETTER_ORIGINAL_BYTES_MAX - 4096

/** Windows of one field that a contract refuses; as many of them as fit stand in the original. It counts no readings: they were shed. */
export function rollupLetter(
  origin: LetterOrigin,
  index: number,
  block: RollupBlock,
  column: RollupColumn,
  refusal: { reason: string; detail: string; windows: readonly number[] },
): DeadLetter {
  const windows: Record<string, unknown>[] = []
  let bytes = 0
  for (const i of refusal.windows) {
    const window: Record<string, unknown> = { time: block.timesMs[i] }
    for (const [name, slots] of Object.entries(column)) if (typeof slots !== 'string') window[name] = slots[i]
    bytes += Buffer.byteLength(JSON.stringify(window)) + 1
    if (bytes > ROLLUP_BYTES_MAX) break
    windows.push(window)
  }
  const original = { widthMs: block.widthMs, count: refusal.windows.length, windows }
  return letter(
    origin,
    `r${index}`,
    {
      stage: 'contract',
      reason: refusal.reason,
      detail: `rolled up at the edge: ${refusal.detail}`,
      readingCount: 0,
      timeMs: block.timesMs[refusal.windows[0] ?? 0] ?? 0,
      device: block.device,
      kind: block.kind,
      field: column.field,
    },
    Buffer.from(JSON.stringify(original), 'utf8'),
  )
}

/** JSON knows no NaN and no infinity: they are written as strings. */
function valueAt(column: FieldColumn, sample: number): unknown {
  if (column.type === 'boolean') return column.values[sample] === 1
  const value = column.values[sample]
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

/**
 * A line that InfluxDB refused for good. One that was refused before stays the letter it is; one of a requeued letter of a contract is
 * named after it. @param index the line's place among its batch's lines
 */
export const storeLetter = (
  origin: LetterOrigin,
  index: string,
  reason: string,
  detail: string,
  line: Uint8Array,
  readingCount: number,
): DeadLetter => {
  const { kind, device, timeMs } = describeLine(line)
  const { again } = origin
  const made = letter(
    origin,
    again === undefined ? `s${index}` : again.isLine ? again.index : `${again.index}.${again.requeued}.s${index}`,
    { stage: 'store', reason, detail, readingCount, timeMs, device, kind },
    line.at(-1) === 0x0a ? line.subarray(0, -1) : line,
  )
  return again?.isLine ? { ...made, requeued: again.requeued } : made
}

function describeLine(line: Uint8Array): { kind: string; device: string; timeMs: number } {
  const text = Buffer.from(line).toString('utf8').trimEnd()
  const [, kind = '', tags = ''] = /^((?:\\.|[^, ])*)((?:\\.|[^ ])*) /.exec(text) ?? []
  const [, device = ''] = /,device=((?:\\.|[^, ])*)/.exec(tags) ?? []
  return { kind, device: device.replace(/\\(.)/g, '$1'), timeMs: Number(/ (-?\d+)$/.exec(text)?.[1] ?? 0) }
}
