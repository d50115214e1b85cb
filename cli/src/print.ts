/** Output for people: tables that align, numbers that can be read. */

export type Cell = string | number

/** Columns padded to their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const text = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? count(cell) : plain(cell))))
  const widths = head.map((title, i) => Math.max(title.length, ...text.map((row) => row[i]?.length ?? 0)))
  const isNumber = head.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] === 'number'))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map((w) => '─'.repeat(w))), ...text.map(line)].join('\n')
}

/** Text that came from elsewhere, on one line and without what a terminal would obey. */
export const plain = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '·')

const BRIEF_CHARACTERS = 160
/** The beginning of a sentence that may be long. */
export const brief = (text: string): string =>
  text.length > BRIEF_CHARACTERS ? `${plain(text.slice(0, BRIEF_CHARACTERS))}…` : plain(text)

/** 1234567 → "1,234,567". */
export const count = (value: number): string =>
  Number.isFinite(value) ? value.toLocaleString('en-GB', { maximumFractionDigits: 1 }) : '–'

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let left = value
  while (left >= 1024 && unit < units.length - 1) {
    left /= 1024
    unit += 1
  }
  return `${unit === 0 ? left : left.toFixed(1)} ${units[unit]}`
}

export function age(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3600)} h`
}

export const printJson = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}
export const print = (text: string): void => {
  process.stdout.write(`${text}\n`)
}
