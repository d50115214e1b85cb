/**
 * Guarantee: every line that is not blank is in exactly one row, in order, whatever it holds and however the text is cut into chunks;
 * memory is bounded by one chunk and ROW_CHARACTERS_MAX. Quotes are read as spreadsheets write them (RFC 4180): they open a cell only
 * at its beginning, and a quoted cell may hold delimiters and line ends. A quote that is not closed spoils its own line alone.
 */

/** A row of more is broken. */
export const ROW_CHARACTERS_MAX = 65_536
/** Kept of a broken row. */
const SHOWN_CHARACTERS = 80

export interface CsvRow {
  /** Its first line; from 1. */
  readonly line: number
  /** Without quotes, and without blanks around them. */
  readonly cells: readonly string[]
  /** Why it could not be taken apart. */
  readonly mistake?: string
}

export interface CsvRows {
  /** The rows that are complete with this. */
  push(text: string): CsvRow[]
  /** What is left when no more text comes. */
  end(): CsvRow[]
}

interface Taken {
  readonly cells: readonly string[]
  readonly mistake?: string
  /** Where the next row begins. */
  readonly end: number
  /** Line ends in it. */
  readonly lines: number
}

export function createCsvRows(delimiter: string): CsvRows {
  let rest = ''
  let line = 1
  /** Within a line that is too long, of which a row was made. */
  let skipping = false

  function take(isAll: boolean): CsvRow[] {
    const rows: CsvRow[] = []
    let at = 0
    while (at < rest.length) {
      if (skipping) {
        const lineEnd = rest.indexOf('\n', at)
        at = lineEnd === -1 ? rest.length : lineEnd + 1
        if (lineEnd !== -1) line += 1
        skipping = lineEnd === -1
        continue
      }
      const taken = takeRow(rest, at, delimiter, isAll)
      if (taken === undefined) break
      const { cells, mistake, end, lines } = taken
      if (cells.length > 1 || cells[0] !== '' || rest.slice(at, end).trim() !== '')
        rows.push({ line, cells, ...(mistake !== undefined && { mistake }) })
      line += lines
      at = end
      skipping = lines === 0 && !isAll
    }
    rest = rest.slice(at)
    return rows
  }
  return {
    push(text) {
      rest += text
      return take(false)
    },
    end: () => take(true),
  }
}

/** @returns undefined when more text may change what the row is */
function takeRow(text: string, at: number, delimiter: string, isAll: boolean): Taken | undefined {
  const lineEnd = text.indexOf('\n', at)
  const end = lineEnd === -1 ? text.length : lineEnd
  const whole = { end: Math.min(end + 1, text.length), lines: lineEnd === -1 ? 0 : 1 }
  const shown = () => [text.slice(at, Math.min(end, at + SHOWN_CHARACTERS)).trim()]
  if (end - at > ROW_CHARACTERS_MAX)
    return {
      cells: shown(),
      mistake: `is longer than ${ROW_CHARACTERS_MAX.toLocaleString('en-GB')} characters`,
      ...whole,
    }
  if (lineEnd === -1 && !isAll) return undefined
  const plain = text.slice(at, end)
  if (!plain.includes('"')) return { cells: plain.split(delimiter).map((cell) => cell.trim()), ...whole }

  const cells: string[] = []
  let cell = ''
  let quoted = false
  let wasQuoted = false
  let lines = 0
  const endCell = () => {
    cells.push(cell.trim())
    cell = ''
    wasQuoted = false
  }
  const stop = Math.min(text.length, at + ROW_CHARACTERS_MAX)
  for (let i = at; i < stop; i++) {
    const character = text[i] as string
    if (character === '\n') lines += 1
    if (quoted) {
      if (character !== '"') cell += character
      else if (text[i + 1] === '"') {
        cell += '"'
        i += 1
      } else quoted = false
    } else if (character === '"' && !wasQuoted && cell.trim() === '') {
      cell = ''
      quoted = wasQuoted = true
    } else if (character === delimiter) endCell()
    else if (character === '\n') {
      endCell()
      return { cells, end: i + 1, lines }
    } else cell += character
  }
  if (stop === text.length && !isAll) return undefined
  if (!quoted && stop === text.length) {
    endCell()
    return { cells, end: stop, lines }
  }
  return { cells: shown(), mistake: 'a quote is opened and not closed', ...whole }
}
