import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CsvRow, createCsvRows, ROW_CHARACTERS_MAX } from './csv-rows.ts'
import { guessDelimiter, textOf } from './csv-text.ts'

const parse = (chunks: readonly string[], delimiter = ','): CsvRow[] => {
  const rows = createCsvRows(delimiter)
  return [...chunks.flatMap((chunk) => rows.push(chunk)), ...rows.end()]
}
/** Cut where the numbers say, each a share of the whole. */
const cutAt = (text: string, shares: readonly number[]): string[] => {
  const places = [0, ...shares.map((share) => Math.floor(share * text.length)).sort((a, b) => a - b), text.length]
  return places.slice(1).map((place, i) => text.slice(places[i], place))
}
const shares = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })
const quoted = (cell: string) => `"${cell.replaceAll('"', '""')}"`

describe('rows of CSV', () => {
  test('quotes, blanks, line ends of every sort', () => {
    const text = 'time, value\r\n2026-01-01,"1,5"\n\n"say ""hi""","two\nlines"\r\n  \nlast,5" pipe,'
    expect(parse(['""\n \n5']).map(({ cells }) => cells)).toEqual([[''], ['5']])
    expect(parse([text])).toEqual([
      { line: 1, cells: ['time', 'value'] },
      { line: 2, cells: ['2026-01-01', '1,5'] },
      { line: 4, cells: ['say "hi"', 'two\nlines'] },
      { line: 7, cells: ['last', '5" pipe', ''] },
    ])
  })

  test('a quote that is never closed spoils its own line alone', () => {
    const rest = 'c,3\n'.repeat(ROW_CHARACTERS_MAX / 2)
    const rows = parse([`a,1\nb,"2\n${rest}`])
    expect(rows.slice(0, 3)).toEqual([
      { line: 1, cells: ['a', '1'] },
      { line: 2, cells: ['b,"2'], mistake: 'a quote is opened and not closed' },
      { line: 3, cells: ['c', '3'] },
    ])
    expect(rows.length).toBe(2 + ROW_CHARACTERS_MAX / 2)
    expect(parse(['a,1\nb,"2\nc,3']).map(({ mistake }) => mistake !== undefined)).toEqual([false, true, false])
  })

  test('a line without an end is one broken row, and costs no memory', () => {
    const rows = createCsvRows(',')
    const found = rows.push('a,1\n')
    for (let i = 0; i < 64; i++) found.push(...rows.push('x'.repeat(ROW_CHARACTERS_MAX / 4)))
    found.push(...rows.push('\nb,2\n'), ...rows.end())
    expect(found).toEqual([
      { line: 1, cells: ['a', '1'] },
      { line: 2, cells: ['x'.repeat(80)], mistake: 'is longer than 65,536 characters' },
      { line: 3, cells: ['b', '2'] },
    ])
  })

  test('cells written with quotes are read back, however the text is cut', () => {
    const cell = fc.string({ maxLength: 12 }).map((text) => text.replaceAll('\r', '').trim())
    fc.assert(
      fc.property(
        fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { maxLength: 8 }),
        fc.constantFrom(',', ';', '\t'),
        fc.constantFrom('\n', '\r\n'),
        shares,
        (rows, delimiter, lineEnd, cuts) => {
          const text = rows.map((cells) => cells.map(quoted).join(delimiter) + lineEnd).join('')
          expect(parse(cutAt(text, cuts), delimiter).map(({ cells }) => cells)).toEqual(rows)
        },
      ),
    )
  })

  test('whatever the text is, cutting it changes nothing and every line with anything in it is in one row', () => {
    const hostile = fc
      .array(fc.constantFrom('"', ',', '\n', '\r', '"\n', 'a', ' ', '""', '7', '\u0000', 'é'), { maxLength: 60 })
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(hostile, shares, (text, cuts) => {
        const whole = parse([text])
        expect(parse(cutAt(text, cuts))).toEqual(whole)
        const lines = text.split('\n')
        for (const [i, row] of whole.entries()) {
          expect(row.line).toBeGreaterThan(whole[i - 1]?.line ?? 0)
          expect(row.line).toBeLessThanOrEqual(lines.length)
        }
        // Without quotes a line is a row.
        if (!text.includes('"'))
          expect(whole.map(({ line }) => line)).toEqual(lines.flatMap((line, i) => (line.trim() === '' ? [] : [i + 1])))
      }),
    )
  })

  test('the delimiter is what stands most often outside of quotes', () => {
    const lines = ['a,b', 'a;b,c;d', '2026-01-01;1,5', 'a\tb', '"a;b;c",d', 'a']
    expect(lines.map(guessDelimiter)).toEqual([',', ';', ';', '\t', ',', ','])
  })
})

describe('bytes to text', () => {
  const read = async (...chunks: Uint8Array[]) => {
    async function* all() {
      yield* chunks
    }
    let text = ''
    for await (const part of textOf(all())) text += part
    return text
  }
  test('marks are taken away, characters that are cut in two are whole', async () => {
    const bytes = Buffer.from('\uFEFFgrößer,°C\n')
    expect(await read(...[...bytes].map((byte) => Uint8Array.of(byte)))).toBe('größer,°C\n')
    expect(await read(Buffer.from('\uFEFFa,ü\n', 'utf16le'))).toBe('a,ü\n')
    expect(await read()).toBe('')
  })
  test('lines end with a line feed, whatever they ended with and wherever they are cut', async () => {
    const bytes = Buffer.from('a\rb\r\nc\n\rd\r')
    expect(await read(bytes)).toBe('a\nb\nc\n\nd\n')
    expect(await read(...[...bytes].map((byte) => Uint8Array.of(byte)))).toBe('a\nb\nc\n\nd\n')
  })
  test('what is no text is refused with what to do', async () => {
    await expect(read(Uint8Array.of(0x1f, 0x8b, 8, 0))).rejects.toMatchObject({ hint: expect.stringContaining('zcat') })
    await expect(read(Uint8Array.of(65, 0, 66))).rejects.toThrow('it is no text')
  })
})
