import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ReadOptions, readSeriesFile, type SeriesRow } from './read-rows.ts'
import { UTC } from './time-zone.ts'

async function read(text: string, options: Partial<ReadOptions> = {}, chunkBytes = 7) {
  const bytes = Buffer.from(text)
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
  }
  const file = await readSeriesFile(chunks(), { zone: UTC, ...options })
  const rows: SeriesRow[] = []
  for await (const some of file.rows) rows.push(...some)
  return { ...file, rows }
}
const numbers = (rows: readonly SeriesRow[]) => rows.map(({ number, leftOut }) => leftOut ?? number)
const refused = (text: string, options?: Partial<ReadOptions>) =>
  read(text, options).then(
    () => 'was read',
    (error: Error & { hint?: string }) => `${error.message} → ${error.hint}`,
  )

describe('columns', () => {
  test('are guessed from the header and the first rows', async () => {
    const { columns } = await read('device,ts,room,temperature\na,2026-01-01,3b,20.5\nb,2026-01-02,3b,21\n')
    expect(columns).toEqual({ time: 1, value: 3, label: 'temperature', hasHeader: true })
    const bare = await read('2026-01-01;1,5\n2026-01-02;2\n')
    expect(bare.columns).toEqual({ time: 0, value: 1, label: 'value', hasHeader: false })
    expect(numbers(bare.rows)).toEqual([1.5, 2])
    const benchmark = await read('timestamp,value,anomaly_score,label\n2026-01-01,7,0.1,0\n')
    expect(benchmark.columns.value).toBe(1)
  })
  test('are named, or counted from 1', async () => {
    const text = 'when,a,b\n2026-01-01,1,2\n'
    expect(numbers((await read(text, { valueColumn: 'b' })).rows)).toEqual([2])
    expect(numbers((await read(text, { valueColumn: '2', timestampColumn: 'WHEN' })).rows)).toEqual([1])
  })
  test('that cannot be told are asked for, with those there are', async () => {
    expect(await refused('time,a,b\n2026-01-01,1,2\n')).toBe(
      'which column holds the values? → name it with --value-column; numbers are in "a", "b"',
    )
    expect(await refused('a,b\n1,2\n')).toContain('which column holds the times? → name it with --timestamp-column')
    expect(await refused('time,a\n2026-01-01,red\n2026-01-02,blue\n', { valueColumn: 'c' })).toBe(
      '--value-column: there is no column "c" → the columns are "time", "a"',
    )
    expect(await refused('time,a,a\n2026-01-01,1,2\n', { valueColumn: 'a' })).toContain('name it by its place: 2 or 3')
    expect(await refused('time,a\n01/31/2026,1\n', { timestampColumn: 'time' })).toContain(
      'cannot be read: "01/31/2026"',
    )
    expect(await refused('time,a\n2026-01-01,1\n', { valueColumn: 'time' })).toContain('cannot hold both')
    expect(await refused('')).toContain('there is no row')
  })
  test('a file without times is read with an interval', async () => {
    const { rows } = await read('value\n5\n\nx\n7\n', { intervalMs: 500 })
    expect(rows.map(({ timeMs, timestamp, number, leftOut }) => [timestamp, leftOut ?? timeMs, number])).toEqual([
      ['0', 0, 5],
      ['0.5', 'not_a_number', 0],
      ['1', 1_000, 7],
    ])
  })
})

describe('rows', () => {
  test('that cannot be judged keep their place with the reason', async () => {
    const { rows } = await read(
      'time,v\n2026-01-01,1\n2026-01-02,\n2026-01-03,NaN\nsoon,4\n2026-01-05,five\n2026-01-05,Infinity\n2026-01-01,6\n2026-01-06\n2026-01-07,true\n2026-01-08,"8\n2026-01-09,9\n',
    )
    expect(numbers(rows)).toEqual([
      1,
      'no_value',
      'no_value',
      'no_time',
      'not_a_number',
      'not_a_number',
      'out_of_order',
      'no_value',
      1,
      'broken',
      9,
    ])
    expect(rows.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    expect(rows[3]).toMatchObject({ timestamp: 'soon', value: '4' })
  })

  test('whatever stands in the cells, each line below the header is one row and times rise', async () => {
    const cell = fc.oneof(
      fc.constantFrom(
        '',
        'NA',
        '2026-01-01',
        '5',
        '-3.5',
        '1e400',
        '1,5',
        'x',
        '2026-01-02 00:00:01',
        '\u0000',
        '=1+1',
      ),
      fc.string({ maxLength: 6 }).map((text) => text.replace(/[\r\n"]/g, '')),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(cell, cell), { maxLength: 40 }),
        fc.integer({ min: 1, max: 64 }),
        async (cells, chunk) => {
          const text = `time;value\n2026-01-01T00:00:00Z;1\n${cells.map(([a, b]) => `${a};${b}.\n`).join('')}`
          if (text.includes('\u0000')) return
          const { rows } = await read(text, { timestampColumn: 'time', valueColumn: 'value', delimiter: ';' }, chunk)
          expect(rows.length).toBe(1 + cells.length)
          let lastMs = Number.NEGATIVE_INFINITY
          for (const { timeMs, number, leftOut } of rows) {
            if (leftOut !== undefined) continue
            expect(timeMs).toBeGreaterThan(lastMs)
            expect(Number.isFinite(number)).toBe(true)
            lastMs = timeMs
          }
        },
      ),
    )
  })
})
