/** The readings of a dead letter as a block again, from its original: those that a contract refused, and lines that InfluxDB refused. */
import type { DeadLetter, DeviceBlock, FieldColumn } from '@tributary/protocol'
import { EPOCH_UNKNOWN } from './dead-letter.ts'
import { FLAGS_FIELD } from './sample-lines.ts'

export interface LetterReadings {
  readonly block: DeviceBlock
  /** Of a contract's letter, sample by sample: what is written again when some of them stay refused. */
  readonly original: LetterOriginal | undefined
  /** What a line was marked with by its contract; see `sample-lines.ts`. */
  readonly flags: string | undefined
}

/** The JSON of a letter of stage `contract`. */
export interface LetterOriginal {
  readonly times: readonly number[]
  readonly values: readonly unknown[]
  readonly sequences?: readonly number[]
  readonly before?: readonly (number | null)[]
}

/** @returns a sentence when its readings cannot be had from the letter */
export function readingsOfLetter(letter: DeadLetter): LetterReadings | string {
  const bytes = Buffer.from(letter.original, 'base64')
  if (letter.stage === 'edge')
    return 'what came over the wire could not be read by the agent, which alone has the framing: correct the input, the device sends anew'
  if (letter.stage === 'decode') return 'it is a whole batch that could not be decoded, not readings'
  if (letter.epoch === EPOCH_UNKNOWN) return 'the line was derived by the processor and belongs to no batch'
  if (letter.readingCount === 0) return 'it holds windows that an agent rolled up, not readings'
  if (bytes.length < letter.originalBytes)
    return `only ${bytes.length} of ${letter.originalBytes} bytes of the original were kept`
  const readings = letter.stage === 'store' ? fromLine(letter, bytes.toString('utf8')) : fromJson(letter, bytes)
  if (readings === undefined) return 'its original cannot be read'
  const count = readings.block.columns.reduce((sum, { present, values }) => sum + countOf(present, values.length), 0)
  if (count !== letter.readingCount) return `it speaks of ${letter.readingCount} readings, its original holds ${count}`
  return readings
}

const countOf = (present: Uint8Array | null, length: number): number =>
  present === null ? length : present.reduce((sum, flag) => sum + flag, 0)

const isListOf = <T>(list: unknown, length: number, is: (one: unknown) => one is T): list is readonly T[] =>
  Array.isArray(list) && list.length === length && list.every(is)
const isTime = (one: unknown): one is number => Number.isSafeInteger(Math.trunc(one as number))
const isAny = (_: unknown): _ is unknown => true

function fromJson(letter: DeadLetter, bytes: Buffer): LetterReadings | undefined {
  let original: LetterOriginal
  try {
    original = JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
  const { times, values } = original ?? {}
  if (!Array.isArray(times) || !isListOf(times, times.length, isTime) || !isListOf(values, times.length, isAny))
    return undefined
  // JSON has no NaN and no infinity: they stand there as strings.
  const read = letter.reason === 'not_finite' ? values.map((value) => Number(value)) : values
  return { block: blockOf(letter, times, columnsOf(letter.field, read)), original, flags: undefined }
}

const blockOf = ({ device, kind }: DeadLetter, times: readonly number[], columns: FieldColumn[]): DeviceBlock => ({
  device,
  kind,
  timesMs: Float64Array.from(times),
  columns,
})

/** One column for each type that the values have. Values of other types are left out. */
function columnsOf(field: string, values: readonly unknown[]): FieldColumn[] {
  const columns: FieldColumn[] = []
  const of = (type: string) => {
    const flags = Uint8Array.from(values, (value) => (typeof value === type ? 1 : 0))
    return { any: flags.includes(1), present: flags.includes(0) ? flags : null }
  }
  const numbers = of('number')
  const booleans = of('boolean')
  const strings = of('string')
  if (numbers.any)
    columns.push({
      field,
      present: numbers.present,
      type: 'number',
      values: Float64Array.from(values, (value) => (typeof value === 'number' ? value : 0)),
    })
  if (booleans.any)
    columns.push({
      field,
      present: booleans.present,
      type: 'boolean',
      values: Uint8Array.from(values, (value) => (value === true ? 1 : 0)),
    })
  if (strings.any)
    columns.push({
      field,
      present: strings.present,
      type: 'string',
      values: values.map((value) => (typeof value === 'string' ? value : '')),
    })
  return columns
}

/** `field=value`, as `LineBuffer` writes them: the value a string in quotes, a number, an integer with `i`, `t` or `f`. */
const FIELD = /((?:\\.|[^=\\])+)=("(?:\\.|[^"\\])*"|[^,]+)(?:,|$)/gsy

function fromLine(letter: DeadLetter, line: string): LetterReadings | undefined {
  const [head] = /^(?:\\.|[^\\ ])+ /s.exec(line) ?? []
  const timeAt = line.lastIndexOf(' ')
  const timeText = line.slice(timeAt + 1)
  if (head === undefined || timeAt < head.length || !/^-?\d+$/.test(timeText)) return undefined
  const text = line.slice(head.length, timeAt)
  const columns: FieldColumn[] = []
  let flags: string | undefined
  let read = 0
  for (const [whole, name, value] of text.matchAll(FIELD) as Iterable<[string, string, string]>) {
    read += whole.length
    if (name === FLAGS_FIELD) flags = String(readValue(value))
    else columns.push(...columnsOf(name.replace(/\\([,= ])/g, '$1'), [readValue(value)]))
  }
  if (read !== text.length) return undefined
  return { block: blockOf(letter, [Number(timeText)], columns), original: undefined, flags }
}

function readValue(text: string): unknown {
  if (text.startsWith('"')) return text.slice(1, -1).replace(/\\(["\\])/g, '$1')
  if (text === 't' || text === 'f') return text === 't'
  const value = Number(text.endsWith('i') ? text.slice(0, -1) : text)
  return Number.isFinite(value) ? value : undefined
}
