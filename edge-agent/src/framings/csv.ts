/** Values in the order of named columns, which stand in the config or are announced by the device with `#columns: `. */
import { BLOCK_FIELDS_MAX } from '@tributary/protocol'
import { exactNumber } from '../exact-json.ts'
import { IDENTIFIER_RULE, isIdentifier } from '../sample.ts'
import type { Framing } from './framing.ts'
import { createLineFraming } from './lines.ts'

const COMMA = 0x2c
const QUOTE = 0x22
/** Bytes of a first field that are tried as its beginning. */
const STARTS_MAX = 24
const ANNOUNCEMENT = '#columns:'
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/
/** Integers that a double cannot hold come as bigint. */
type CsvValue = number | bigint | boolean | string | null
const COLUMNS_MAX = BLOCK_FIELDS_MAX + 3

/** @returns what is wrong with the columns, or undefined */
export function mistakeInColumns(columns: readonly string[]): string | undefined {
  if (columns.length === 0 || columns.length > COLUMNS_MAX) return `between 1 and ${COLUMNS_MAX} columns are needed`
  const bad = columns.find((column) => !isIdentifier(column))
  if (bad !== undefined) return `column "${bad.slice(0, 60)}" must be ${IDENTIFIER_RULE}`
  const twice = columns.find((column, i) => columns.indexOf(column) !== i)
  return twice === undefined ? undefined : `column "${twice}" stands there twice`
}

/** @param columns undefined: the device announces them */
export function createCsv({
  crc,
  columns: configured,
}: {
  crc: boolean
  columns: readonly string[] | undefined
}): Framing {
  let columns = configured
  return createLineFraming(
    {
      isDirective: (line) => line.startsWith(ANNOUNCEMENT),
      parse(line) {
        if (line.startsWith(ANNOUNCEMENT)) {
          const announced = line.slice(ANNOUNCEMENT.length).trim().split(',')
          const mistake = mistakeInColumns(announced)
          if (mistake) return { reason: 'bad_columns', detail: mistake }
          columns = announced
          return undefined
        }
        if (!columns)
          return {
            reason: 'no_columns',
            detail: 'the columns are not known yet: set framing.columns, or announce them',
          }
        const values = readValues(line)
        if (typeof values === 'string') return { reason: 'not_csv', detail: values }
        if (values.length !== columns.length)
          return { reason: 'wrong_column_count', detail: `${values.length} values for ${columns.length} columns` }
        return { value: Object.fromEntries(columns.map((column, i) => [column, values[i]])) }
      },
      startsWithin: (line, withChecksum) => (withChecksum ? startsBehindNoise(line, columns?.length ?? 1) : []),
      forget: () => {
        columns = configured
      },
    },
    crc,
  )
}

/**
 * Where a line with its checksum may begin: behind the last byte in its first value that is no plain text; and, when there are more values than
 * columns because the line before was cut, within the value that is, counted from the end, the first. No more places than that: the
 * checksum has 16 bits, and each place is one more chance for it to agree with what is wrong.
 */
function startsBehindNoise(line: Uint8Array, columnCount: number): number[] {
  let commas = 0
  let isQuoted = false
  let firstEnd = columnCount === 1 ? line.length : -1
  let at = line.length - 1
  for (; at >= 0; at--) {
    // Behind it the first value has ended; in front of it a line was cut, maybe within a text.
    if (firstEnd !== -1 && (line[at] === COMMA || (line[at] === QUOTE && line[firstEnd - 1] !== QUOTE))) break
    if (line[at] === QUOTE) isQuoted = !isQuoted
    if (line[at] !== COMMA || isQuoted) continue
    commas++
    if (commas === columnCount - 1) firstEnd = at
  }
  const starts = new Set<number>()
  const behindBinary = line.subarray(0, Math.max(0, firstEnd)).findLastIndex((byte) => byte < 0x20 || byte > 0x7e) + 1
  if (behindBinary > 0) starts.add(behindBinary)
  if (at >= 0) for (let start = firstEnd; start > Math.max(at, firstEnd - STARTS_MAX); start--) starts.add(start)
  return [...starts]
}

/** @returns the values, `null` for "not measured", or what is wrong */
function readValues(line: string): CsvValue[] | string {
  const values: CsvValue[] = []
  for (let at = 0; ; ) {
    if (line[at] === '"') {
      let text = ''
      for (at++; ; at++) {
        if (at >= line.length) return 'a quote is not closed'
        if (line[at] !== '"') text += line[at]
        else if (line[at + 1] === '"') text += line[at++]
        else break
      }
      values.push(text)
      at++
      if (at < line.length && line[at] !== ',') return 'something follows a closing quote'
    } else {
      const comma = line.indexOf(',', at)
      const text = line.slice(at, comma === -1 ? line.length : comma)
      values.push(readUnquoted(text))
      at += text.length
    }
    if (at >= line.length) return values
    at++
  }
}

function readUnquoted(text: string): CsvValue {
  if (text === '') return null
  if (text === 'true' || text === 'false') return text === 'true'
  return NUMBER.test(text) ? exactNumber(text) : text
}
