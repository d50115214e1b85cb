/** Which columns of a file hold the times and the values: those that were named, else what the header and the first rows suggest. */
import { UserError } from '@tributary/runtime'
import type { CsvRow } from './csv-rows.ts'
import { readNumber } from './number-cell.ts'
import { createTimeCells, TIMES_THAT_ARE_READ } from './time-cells.ts'

/** Rows that are looked at before anything is chosen. */
export const HEAD_ROWS = 32

const TIME_NAME =
  /^(_?time(_?stamp)?|timestamp_?utc|ts|date|date_?time|time_?(s|ms|us|ns|utc)|zeit(stempel)?|datum|epoch)$/i
const VALUE_NAME = /^_?value$/i

export interface Columns {
  /** Undefined: the rows follow each other at even distances. */
  readonly time: number | undefined
  readonly value: number
  /** Of the value's column. */
  readonly label: string
  readonly hasHeader: boolean
}

export interface WantedColumns {
  /** A name, or a place counted from 1. */
  readonly timestamp?: string | undefined
  readonly value?: string | undefined
  /** May times be left out? */
  readonly evenly: boolean
  readonly decimalComma: boolean
}

/** @throws UserError when they cannot be told */
export function chooseColumns(head: readonly CsvRow[], wanted: WantedColumns): Columns {
  const rows = head.filter(({ mistake }) => mistake === undefined).map(({ cells }) => cells)
  const [first] = rows
  if (first === undefined) throw new UserError('there is no row', { hint: 'a header and rows of cells are expected' })
  const isNumber = (cell = '') => Number.isFinite(readNumber(cell, wanted.decimalComma) ?? Number.NaN)
  const isTime = (cell = '') => createTimeCells().read(cell) !== undefined
  const isData = (cell: string | undefined) => isNumber(cell) || isTime(cell)
  const named = (column: string | undefined) => column !== undefined && first.includes(column)
  const hasHeader =
    named(wanted.timestamp) ||
    named(wanted.value) ||
    !first.some(isData) ||
    first.some((cell, i) => cell !== '' && !isData(cell) && rows.slice(1).some((row) => isData(row[i])))
  const body = hasHeader ? rows.slice(1) : rows
  const names = first.map((name, i) => (hasHeader && name !== '' ? name : String(i + 1)))
  const filled = (i: number) => body.map((row) => row[i] ?? '').filter((cell) => cell !== '')
  const most = (i: number, test: (cell: string) => boolean) => {
    const cells = filled(i)
    return cells.length > 0 && cells.filter(test).length * 2 > cells.length
  }
  const listed = `the columns are ${names.map((name) => `"${name}"`).join(', ')}`
  const find = (option: string, column: string): number => {
    const exact = names.flatMap((name, i) => (name === column ? [i] : []))
    const loose = names.flatMap((name, i) => (name.toLowerCase() === column.toLowerCase() ? [i] : []))
    const found = exact.length > 0 ? exact : loose
    if (found.length > 1)
      throw new UserError(`${option}: "${column}" stands there ${found.length} times`, {
        hint: `name it by its place: ${found.map((i) => i + 1).join(' or ')}`,
      })
    const place = found[0] ?? (/^\d+$/.test(column) ? Number(column) - 1 : -1)
    if (place < 0 || place >= names.length)
      throw new UserError(`${option}: there is no column "${column}"`, { hint: listed })
    return place
  }

  const places = names.map((_, i) => i)
  const time =
    wanted.timestamp !== undefined
      ? find('--timestamp-column', wanted.timestamp)
      : (places.find((i) => TIME_NAME.test(names[i] as string) && (body.length === 0 || most(i, isTime))) ??
        places.find((i) => most(i, (cell) => isTime(cell) && !isNumber(cell))))
  if (time === undefined && !wanted.evenly)
    throw new UserError('which column holds the times?', {
      hint: `name it with --timestamp-column, or say how far rows are apart with --interval, such as 1s; ${listed}`,
    })
  if (time !== undefined && filled(time).length > 0 && !filled(time).some(isTime))
    throw new UserError(`the times of "${names[time]}" cannot be read: "${filled(time)[0]}"`, {
      hint: `what can be read: ${TIMES_THAT_ARE_READ}`,
    })
  const value = wanted.value !== undefined ? find('--value-column', wanted.value) : guessValue()
  if (value === time) throw new UserError(`"${names[value]}" cannot hold both times and values`, { hint: listed })
  return { time, value, label: hasHeader ? (names[value] as string) : 'value', hasHeader }

  function guessValue(): number {
    const candidates = places.filter((i) => i !== time && most(i, isNumber))
    const called = candidates.find((i) => VALUE_NAME.test(names[i] as string))
    const [only] = candidates.length === 1 ? candidates : []
    const found =
      called ?? only ?? (candidates.length === 0 && names.length === 2 && time !== undefined ? 1 - time : undefined)
    if (found !== undefined) return found
    throw new UserError(candidates.length === 0 ? 'no column holds numbers' : 'which column holds the values?', {
      hint: `name it with --value-column; ${candidates.length === 0 ? listed : `numbers are in ${candidates.map((i) => `"${names[i]}"`).join(', ')}`}`,
    })
  }
}
