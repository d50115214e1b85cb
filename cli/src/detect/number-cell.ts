/** A value as files have it: a number, with a decimal comma where commas do not separate cells; true and false count as 1 and 0. */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i
const WITH_COMMA = /^[+-]?\d*,\d+$/
const MISSING = /^(|-+|n\/?a|nan|null|none|nil|missing|#n\/?a)$/i

/** A finite number, `undefined` for what is missing, or NaN for what is no number. */
export function readNumber(cell: string, decimalComma: boolean): number | undefined {
  const text = cell.trim()
  if (NUMBER.test(text)) {
    const value = Number(text)
    return Number.isFinite(value) ? value : Number.NaN
  }
  if (decimalComma && WITH_COMMA.test(text)) return Number(text.replace(',', '.'))
  if (MISSING.test(text)) return undefined
  if (/^true$/i.test(text)) return 1
  return /^false$/i.test(text) ? 0 : Number.NaN
}

/** Digits after the point, as written: "0.50" and "5.0e-1" have two. */
export function decimalsOf(cell: string): number {
  const [, digits = '', exponent = '0'] = /^[^.,e]*(?:[.,](\d+))?(?:e([+-]?\d+))?/i.exec(cell) ?? []
  return Math.max(0, digits.length - Number(exponent))
}
