/** Devices out of a table: a header, then a line a device; commas or semicolons, quotes as spreadsheets write them. */
import { type DeviceEntry, deviceEntrySchema } from '@tributary/cloud-processor'
import type { ConfigMistake } from '@tributary/runtime'
import { LIMIT_RULE, parseLimit } from './device-limit.ts'

const COLUMNS = ['device', 'from', 'site', 'line', 'name', 'location', 'thresholds']

export interface EntryInFile {
  readonly entry: DeviceEntry
  readonly line: number
}

/** @returns the lines without a mistake, and every mistake with its line */
export function parseDeviceCsv(text: string): { entries: EntryInFile[]; mistakes: ConfigMistake[] } {
  const entries: EntryInFile[] = []
  const mistakes: ConfigMistake[] = []
  const mistake = (line: number, path: string, message: string) => mistakes.push({ line, path, message })
  const [head, ...rows] = rowsOf(text.replace(/^\uFEFF/, ''), mistake)
  const columns = head?.cells.map((cell) => cell.trim().toLowerCase()) ?? []
  const last = (one: string, i: number) => columns.indexOf(one) !== i
  if (head === undefined || !columns.includes('device'))
    mistake(
      head?.line ?? 1,
      '',
      `the first line must name the columns, of which there are ${COLUMNS.join(', ')}; "device" must be one`,
    )
  else
    for (const [i, column] of columns.entries())
      if (!COLUMNS.includes(column)) mistake(head.line, column, `unknown column; there are ${COLUMNS.join(', ')}`)
      else if (last(column, i)) mistake(head.line, column, 'stands there twice')
  if (mistakes.length > 0) return { entries, mistakes }
  for (const { line, cells } of rows) {
    if (cells.length !== columns.length) {
      mistake(line, '', `has ${cells.length} cells, the first line has ${columns.length}`)
      continue
    }
    const found: Record<string, unknown> = {}
    for (const [i, column] of columns.entries()) {
      const cell = (cells[i] as string).trim()
      if (cell === '' && column !== 'device') continue
      if (column !== 'thresholds') found[column] = cell
      else
        found[column] = cell.split(/\s+/).flatMap((limit) => {
          const parsed = parseLimit(limit)
          if (parsed === undefined) mistake(line, column, `must be ${LIMIT_RULE} (got "${limit}")`)
          return parsed ?? []
        })
    }
    const result = deviceEntrySchema.safeParse(found)
    if (result.success) entries.push({ entry: result.data, line })
    else
      for (const { path, message } of result.error.issues)
        mistake(line, path.join('.'), `${message} (got ${JSON.stringify(found[String(path[0])] ?? '')})`)
  }
  return { entries, mistakes }
}

interface Row {
  readonly line: number
  readonly cells: string[]
}

function rowsOf(text: string, mistake: (line: number, path: string, message: string) => void): Row[] {
  const firstLine = text.slice(0, text.search(/\r?\n|$/))
  const separator = firstLine.includes(';') && !firstLine.includes(',') ? ';' : ','
  const rows: Row[] = []
  let line = 1
  let row: Row = { line, cells: [] }
  let cell = ''
  let quotedSince = 0
  let wasQuoted = false
  const endCell = () => {
    row.cells.push(cell)
    cell = ''
    wasQuoted = false
  }
  const endRow = () => {
    endCell()
    if (row.cells.length > 1 || row.cells[0]?.trim() !== '') rows.push(row)
    row = { line, cells: [] }
  }
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string
    if (character === '\n') line += 1
    if (quotedSince > 0) {
      if (character !== '"') cell += character
      else if (text[i + 1] === '"') {
        cell += '"'
        i += 1
      } else quotedSince = 0
    } else if (character === '"' && cell.trim() === '' && !wasQuoted) {
      cell = ''
      quotedSince = line
      wasQuoted = true
    } else if (character === separator) endCell()
    else if (character === '\n') endRow()
    else if (character !== '\r') cell += character
  }
  if (quotedSince > 0) mistake(quotedSince, '', 'a quote is opened and never closed')
  else if (cell !== '' || row.cells.length > 0) endRow()
  return rows
}
