/**
 * JSON whose integers are exact. `JSON.parse` rounds what lies beyond ±(2^53 - 1) and nobody hears of it; here such an integer comes as a
 * bigint, and is refused where a reading is asked for. On the way of all other texts lies one search for 16 digits that begin a number.
 */
const LONG_NUMBER = /[:,[\s]-?\d{16}/
/** A string, or a number with everything that belongs to it. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g
const INTEGER = /^-?\d+$/

/** @throws SyntaxError as `JSON.parse` does */
export function parseExactJson(text: string): unknown {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text)
  const integers = new Map<string, bigint>()
  const marked = text.replace(TOKEN, (token) => {
    if (!INTEGER.test(token) || Number.isSafeInteger(Number(token)) || /^-?0\d/.test(token)) return token
    // A string that the text itself cannot hold: with its quotes it would have been found as a token.
    let mark = `integer ${integers.size}`
    while (text.includes(mark)) mark += '\u2063'
    integers.set(mark, BigInt(token))
    return `"${mark}"`
  })
  if (integers.size === 0) return JSON.parse(text)
  return JSON.parse(marked, (_, value: unknown) => (typeof value === 'string' ? (integers.get(value) ?? value) : value))
}

/** A number as text, already known to be one; an integer that a double cannot hold exactly as bigint. */
export function exactNumber(text: string): number | bigint {
  const value = Number(text)
  return text.length < 16 || Number.isSafeInteger(value) || !INTEGER.test(text) ? value : BigInt(text)
}
