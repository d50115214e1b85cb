/** Which columns of a file hold the times and the values: those that were named, else what the header and the first rows suggest. */
import { UserError } from '@tributary/runtime'
import type { CsvRow } from './csv-rows.ts'
import { readNumber } from './number-cell.ts'
import { createTimeCells, daysComeFirst, numberRows, TIMES_THAT_ARE_READ } from './time-cells.ts'

/** Rows that are looked at before anything is chosen. */
export const HEAD_ROWS = 32

const TIME_NAME =
  /^(_?((unix|event|local|utc)[ _]?)?(time|date|datetime|epoch)(_?(time|stamps?))?([ _]?[([]?(utc|s|ms|us|ns)[)\]]?)?|ts|zeit(stempel)?|datum)$/i
const VALUE_NAME = /^_?values?$/i
/** What others say of the rows. */
const LABEL_NAME =
  /^(is_?)?(label|anomaly|anomalies|outlier|target|class|ground_?truth|change_?point)s?(_?(label|score)s?)?$/i

export interface Columns {
  /** Undefined: the rows follow each other at even distances. */
  readonly time: number | undefined
  readonly value: number
  readonly timeLabel: string | undefined
  /** Of the value's column. */
  readonly label: string
  /** Do the cells of the time's column number the rows? */
  readonly rowsAreNumbered: boolean
  /** Is there a date with slashes among them that only begins with its day? */
  readonly daysComeFirst: boolean
  readonly hasHeader: boolean
}

export interface WantedColumns {
  /** A name, or a place counted from 1. */
  readonly timestamp?: string | undefined
  readonly value?: string | undefined
  readonly decimalComma: boolean
  /** Was it said how far rows are apart? Then times that cannot be read are not asked for. */
  readonly evenly: boolean
}

/** @throws UserError when they cannot be told */
export function chooseColumns(head: readonly CsvRow[], wanted: WantedColumns): Columns {
  const rows = head.filter(({ mistake }) => mistake === undefined).map(({ cells }) => cells)
  // Some programs put the header into a comment.
  const first = rows[0]?.map((cell, i) => (i === 0 ? cell.replace(/^#\s*/, '') : cell))
  if (first === undefined) throw new UserError('there is no row', { hint: 'a header and rows of cells are expected' })
  const others = rows.slice(1)
  const isNumber = (cell = '') => Number.isFinite(readNumber(cell, wanted.decimalComma) ?? Number.NaN)
  const isTime = (cell = '') => [false, true].some((dayFirst) => createTimeCells({ dayFirst }).read(cell) !== undefined)
  const isDate = (cell: string | undefined) => isTime(cell) && !isNumber(cell)
  const isData = (cell = '') =>
    cell !== '' && (isTime(cell) || !Number.isNaN(readNumber(cell, wanted.decimalComma) ?? 0))
  const isNamed = (column: string | undefined) => column !== undefined && first.includes(column) && !isNumber(column)
  /** Nothing, a name or a number above cells with dates; or a name above data. */
  const isTitle = (cell: string, i: number) =>
    others.length > 0 &&
    (others.every((row) => isDate(row[i])) || (cell !== '' && !isData(cell) && others.some((row) => isData(row[i]))))
  const hasHeader =
    isNamed(wanted.timestamp) ||
    isNamed(wanted.value) ||
    (!first.some(isDate) && (!first.some(isData) || first.some(isTitle)))
  const body = hasHeader ? others : rows
  const names = first.map((name, i) => (hasHeader && name !== '' ? name : String(i + 1)))
  const nameOf = (i: number) => names[i] as string
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
  const givenValue = wanted.value === undefined ? undefined : find('--value-column', wanted.value)
  const time =
    wanted.timestamp !== undefined
      ? find('--timestamp-column', wanted.timestamp)
      : (places.find((i) => TIME_NAME.test(nameOf(i)) && (body.length === 0 || most(i, isTime))) ??
        places.find((i) => most(i, isDate)) ??
        places.find((i) => !wanted.evenly && TIME_NAME.test(nameOf(i))) ??
        places.find(
          (i) => i !== givenValue && numberRows(filled(i)) && places.some((j) => j !== i && most(j, isNumber)),
        ))
  if (time !== undefined && filled(time).length > 0 && !filled(time).some(isTime))
    throw new UserError(`the times of "${names[time]}" cannot be read: "${filled(time)[0]}"`, {
      hint: `what can be read: ${TIMES_THAT_ARE_READ}${wanted.timestamp === undefined ? '; or say with --interval how far rows are apart' : ''}`,
    })
  const value = givenValue ?? guessValue()
  if (value === time) throw new UserError(`"${names[value]}" cannot hold both times and values`, { hint: listed })
  return {
    time,
    value,
    timeLabel: time === undefined ? undefined : nameOf(time),
    label: hasHeader ? nameOf(value) : 'value',
    rowsAreNumbered: time !== undefined && numberRows(filled(time)),
    daysComeFirst: time !== undefined && daysComeFirst(filled(time)),
    hasHeader,
  }

  function guessValue(): number {
    const candidates = places.filter((i) => i !== time && most(i, isNumber))
    const called = candidates.find((i) => VALUE_NAME.test(nameOf(i)))
    const measured = candidates.filter((i) => !LABEL_NAME.test(nameOf(i)))
    const [only] = measured.length === 1 ? measured : candidates.length === 1 ? candidates : []
    const found =
      called ?? only ?? (candidates.length === 0 && names.length === 2 && time !== undefined ? 1 - time : undefined)
    if (found !== undefined) return found
    if (names.length === 1 && candidates.length === 0)
      throw new UserError(`no number can be read in "${names[0]}"`, {
        hint: 'is there another --delimiter than , ; | or tab?',
      })
    throw new UserError(candidates.length === 0 ? 'no column holds numbers' : 'which column holds the values?', {
      hint: `name it with --value-column; ${candidates.length === 0 ? listed : `numbers are in ${candidates.map((i) => `"${nameOf(i)}"`).join(', ')}`}`,
    })
  }
}
