/**
 * A refused request has to be asked about in parts. Halves would do; these parts are such that a complaint about every fifth line takes
 * a handful of requests and not thousands. They are a guess from InfluxDB's words: what it answers to the parts decides.
 */
import type { LineRefusal, RefusedLines } from './influx-answers.ts'
import { escapeKey, escapeMeasurement, type LineBuffer } from './line-protocol.ts'

/** A longer complaint is about so many lines that halves are looked at first. */
const SAID_CHARACTERS_MAX = 64 * 1024
const DETAIL_CHARACTERS_MAX = 500

/** @returns two parts, none of them empty, of at least two lines */
export function divide(
  refused: RefusedLines | undefined,
  picked: readonly number[],
  lines: LineBuffer,
): [readonly number[], readonly number[]] {
  if (refused !== undefined) {
    const suspects = new Set(suspectsOf(refused, picked, lines))
    if (suspects.size > 0 && suspects.size < picked.length)
      return [picked.filter((line) => !suspects.has(line)), [...suspects]]
    // What is too old, or in the shard that has another type, lies together in time.
    if (refused.refusal.reason !== 'malformed_line') return halves(byTime(picked, lines))
  }
  return halves(picked)
}

/** Lines that the complaint quotes as such that cannot be parsed, each with what it says of it: they were not written, and nothing is to be asked. */
export function quotedLines(
  { refusal, said }: RefusedLines,
  picked: readonly number[],
  lines: LineBuffer,
): Map<number, LineRefusal> {
  const quoted = new Map<number, LineRefusal>()
  if (refusal.reason !== 'malformed_line' || said.length > SAID_CHARACTERS_MAX) return quoted
  for (const line of picked) {
    const at = said.indexOf(`unable to parse '${textOf(lines, line)}': `)
    if (at < 0) continue
    const next = said.indexOf("\nunable to parse '", at)
    const detail = said.slice(at, next < 0 ? undefined : next).slice(0, DETAIL_CHARACTERS_MAX)
    quoted.set(line, { reason: 'malformed_line', detail })
  }
  return quoted
}

function suspectsOf(refused: RefusedLines, picked: readonly number[], lines: LineBuffer): readonly number[] {
  const [, field, measurement, type] =
    /input field "(.*?)" on measurement "(.*?)" is type (\w+), already exists/.exec(refused.said) ?? []
  if (field === undefined || measurement === undefined) return []
  const start = escapeMeasurement(measurement)
  const key = `${escapeKey(field)}=`
  return picked.filter((line) => {
    const text = textOf(lines, line)
    if (!text.startsWith(`${start},`) && !text.startsWith(`${start} `)) return false
    const at = [text.indexOf(` ${key}`), text.indexOf(`,${key}`)].filter((index) => index >= 0)
    return at.some((index) => typeOf(text.slice(index + 1 + key.length)) === type)
  })
}

/** As InfluxDB calls them. */
function typeOf(value: string): string {
  if (value.startsWith('"')) return 'string'
  if (/^[tfTF]/.test(value)) return 'boolean'
  return /^-?\d+i/.test(value) ? 'integer' : 'float'
}

const textOf = (lines: LineBuffer, line: number): string => lines.line(line).toString('utf8').slice(0, -1)

function byTime(picked: readonly number[], lines: LineBuffer): readonly number[] {
  const timeOf = (line: number): number => {
    const text = textOf(lines, line)
    return Number(text.slice(text.lastIndexOf(' ') + 1))
  }
  return picked
    .map((line) => [line, timeOf(line)] as const)
    .sort(([, a], [, b]) => a - b)
    .map(([line]) => line)
}

function halves(picked: readonly number[]): [readonly number[], readonly number[]] {
  const middle = picked.length >> 1
  return [picked.slice(0, middle), picked.slice(middle)]
}
