/**
 * The rows of a file as times and values, one after another; those that cannot be judged keep their place with the reason.
 * Guarantee: as many rows come out as the file has below its header.
 */
import { UserError } from '@tributary/runtime'
import { type Columns, chooseColumns, HEAD_ROWS, type WantedColumns } from './choose-columns.ts'
import { type CsvRow, createCsvRows, ROW_CHARACTERS_MAX } from './csv-rows.ts'
import { guessDelimiter, textOf } from './csv-text.ts'
import { readNumber } from './number-cell.ts'
import { createTimeCells, type TimeCells, type TimeUnit, unitNamed } from './time-cells.ts'
import type { TimeZone } from './time-zone.ts'

/** Between rows that have no times. */
const ROW_MS = 1_000

/** What InfluxDB writes above the header of its CSV. */
const ANNOTATION = /^#(group|datatype|default)$/

export const LEFT_OUT = {
  broken: 'could not be taken apart',
  no_time: 'without a time that can be read',
  no_value: 'without a value',
  not_a_number: 'with a value that is no number',
  out_of_order: 'not newer than the row before',
} as const
export type LeftOut = keyof typeof LEFT_OUT

export interface SeriesRow {
  readonly line: number
  /** As they stand in the file. */
  readonly timestamp: string
  readonly value: string
  readonly timeMs: number
  readonly number: number
  /** Why it is not judged; time and number mean nothing then. */
  readonly leftOut?: LeftOut
}

/** What was taken for granted and not told: filled as rows are read. */
export interface Assumed {
  unit?: TimeUnit
  zone?: string
  /** Of dates with slashes. */
  order?: string
  /** How far rows are apart that have no times. */
  intervalMs?: number
}

export interface ReadOptions {
  readonly timestampColumn?: string | undefined
  readonly valueColumn?: string | undefined
  readonly delimiter?: string | undefined
  readonly intervalMs?: number | undefined
  readonly zone: TimeZone
  readonly timeUnit?: TimeUnit | undefined
  /** Dates with slashes begin with the day; else told from the first rows. */
  readonly dayFirst?: boolean | undefined
}

export interface SeriesFile {
  readonly columns: Columns
  readonly delimiter: string
  readonly assumed: Assumed
  /** A list for each chunk of the file. */
  readonly rows: AsyncIterable<readonly SeriesRow[]>
}

/** Reads as far as needed to know the columns. @throws UserError when they cannot be told */
export async function readSeriesFile(chunks: AsyncIterable<Uint8Array>, options: ReadOptions): Promise<SeriesFile> {
  const texts = textOf(chunks)
  let delimiter = options.delimiter
  let text = ''
  let parser = createCsvRows(delimiter ?? ',')
  const head: CsvRow[] = []
  let isAll = false
  while (head.length < HEAD_ROWS && !isAll) {
    const next = await texts.next()
    isAll = next.done === true
    if (!next.done) text += next.value
    if (delimiter === undefined) {
      const begin = text.replace(/^\s+/, '')
      if (!begin.includes('\n') && !isAll && begin.length < ROW_CHARACTERS_MAX) continue
      delimiter = guessDelimiter(begin.split('\n', 1)[0] as string)
      parser = createCsvRows(delimiter)
    }
    for (const row of [...parser.push(text), ...(isAll ? parser.end() : [])]) head.push(row)
    text = ''
  }
  while (ANNOTATION.test(head[0]?.cells[0] ?? '')) head.shift()
  const decimalComma = delimiter !== ','
  const wanted: WantedColumns = {
    timestamp: options.timestampColumn,
    value: options.valueColumn,
    decimalComma,
    evenly: options.intervalMs !== undefined,
  }
  const columns = chooseColumns(head.slice(0, HEAD_ROWS), wanted)
  if (columns.hasHeader)
    head.splice(
      head.findIndex(({ mistake }) => mistake === undefined),
      1,
    )
  const { timeLabel = '', rowsAreNumbered } = columns
  const unit = options.timeUnit ?? unitNamed(timeLabel) ?? (rowsAreNumbered ? 'row' : undefined)
  const rowMs = options.intervalMs ?? ROW_MS
  const dayFirst = options.dayFirst ?? columns.daysComeFirst
  const times = createTimeCells({ zone: options.zone, unit, rowMs, dayFirst })
  const readRow = rowReader(columns, times, rowMs, decimalComma)
  const hasNoTimes = columns.time === undefined || unit === 'row'
  const assumed: Assumed = times.assumed
  if (hasNoTimes && options.intervalMs === undefined) assumed.intervalMs = ROW_MS
  async function* rows() {
    yield head.map(readRow)
    head.length = 0
    for await (const more of texts) yield parser.push(more).map(readRow)
    yield parser.end().map(readRow)
  }
  return { columns, delimiter: delimiter ?? ',', assumed, rows: rows() }
}

function rowReader({ time, value }: Columns, times: TimeCells, rowMs: number, decimalComma: boolean) {
  let lastMs = Number.NEGATIVE_INFINITY
  let place = -1
  return ({ line, cells, mistake }: CsvRow): SeriesRow => {
    place += 1
    const evenMs = place * rowMs
    const text = cells[value] ?? ''
    const timestamp = time === undefined ? String(evenMs / 1_000) : (cells[time] ?? '')
    const row = { line, timestamp, value: mistake === undefined ? text : '', timeMs: 0, number: 0 }
    if (mistake !== undefined) return { ...row, leftOut: 'broken' }
    const timeMs = time === undefined ? evenMs : times.read(timestamp)
    if (timeMs === undefined) return { ...row, leftOut: 'no_time' }
    const number = readNumber(text, decimalComma)
    if (number === undefined) return { ...row, leftOut: 'no_value' }
    if (Number.isNaN(number)) return { ...row, leftOut: 'not_a_number' }
    if (timeMs <= lastMs) return { ...row, leftOut: 'out_of_order' }
    lastMs = timeMs
    return { ...row, timeMs, number }
  }
}

/** @throws UserError for what cannot separate cells */
export function delimiterNamed(name: string): string {
  const delimiter = { comma: ',', semicolon: ';', tab: '\t', '\\t': '\t' }[name] ?? name
  if (delimiter.length === 1 && !/["\r\n\w.+-]/.test(delimiter)) return delimiter
  throw new UserError(`--delimiter "${name}" cannot separate cells`, { hint: 'such as , or ; or tab' })
}
