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
  for await (const some of file.rows) for (const row of some) rows.push(row)
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
    expect(columns).toMatchObject({ time: 1, value: 3, timeLabel: 'ts', label: 'temperature', hasHeader: true })
    const bare = await read('2026-01-01;1,5\n2026-01-02;2\n')
    expect(bare.columns).toMatchObject({ time: 0, value: 1, label: 'value', hasHeader: false })
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
    expect(await refused('time,a\n31 Jan,1\n')).toContain('the times of "time" cannot be read: "31 Jan"')
    expect((await read('time,a\n31 Jan,1\n', { intervalMs: 1_000 })).columns.time).toBeUndefined()
    expect(await refused('a b\n1 2\n')).toContain('no number can be read in "a b" → is there another --delimiter')
    expect(await refused('time,a\n2026-01-01,red\n2026-01-02,blue\n', { valueColumn: 'c' })).toBe(
      '--value-column: there is no column "c" → the columns are "time", "a"',
    )
    expect(await refused('time,a,a\n2026-01-01,1,2\n', { valueColumn: 'a' })).toContain('name it by its place: 2 or 3')
    expect(await refused('when,a\nJanuary,1\n', { timestampColumn: 'when' })).toContain('cannot be read: "January"')
    expect(await refused('time,a\n2026-01-01,1\n', { valueColumn: 'time' })).toContain('cannot hold both')
    expect(await refused('')).toContain('there is no row')
  })
  test.each([
    ['labels stand beside', 'timestamp,pressure,is_anomaly\n2026-01-01,7,0\n2026-01-02,8,1\n', [7, 8]],
    ['an index without a name', ',0\n2026-01-01,7\n2026-01-02,8\n', [7, 8]],
    ['names that are numbers', 'timestamp,1\n2026-01-01,7\n2026-01-02,8\n', [7, 8]],
    ['no header, and no value at first', '2026-01-01,ERR\n2026-01-02,8\n', ['not_a_number', 8]],
    ['no header, and a missing value at first', 'NaN\n7\n8\n', ['no_value', 7, 8]],
    ['values of Yahoo', 'timestamps,value,anomaly,changepoint\n1422237600,7,0,0\n1422241200,8,0,0\n', [7, 8]],
    ['a header in a comment', '# time,level\n0,7\n1,8\n', [7, 8]],
    [
      'InfluxDB',
      '#group,false\n#datatype,x\n#default,\n,result,table,_time,_value\n,,0,2026-01-01,7\n,,0,2026-01-02,8\n',
      [7, 8],
    ],
    ['days first', 'date;v\n1/2/2026 1:00:00 AM;7\n31/2/2026;1\n28/2/2026 1:00:00 AM;8\n', [7, 'no_time', 8]],
    ['bars', 'time|level\n2026-01-01|7\n2026-01-02|8\n', [7, 8]],
    ['times named with their unit', 'time_ms,level\n0,7\n10,8\n', [7, 8]],
  ])('%s', async (_, text, expected) => {
    const { rows, columns } = await read(text)
    expect([numbers(rows), columns.label === '7']).toEqual([expected, false])
  })
  test('places of columns without names take nothing for a header', async () => {
    const { rows } = await read('1,5.2\n2,5.3\n', { timestampColumn: '1', valueColumn: '2' })
    expect(numbers(rows)).toEqual([5.2, 5.3])
  })
  test('a file without times has even ones, and says so', async () => {
    const text = 'value\n5\n\nx\n7\n'
    const { rows, assumed } = await read(text, { intervalMs: 500 })
    expect(rows.map(({ timeMs, timestamp, number, leftOut }) => [timestamp, leftOut ?? timeMs, number])).toEqual([
      ['0', 0, 5],
      ['0.5', 'not_a_number', 0],
      ['1', 1_000, 7],
    ])
    expect(assumed).toEqual({})
    const bare = await read('5\n""\n7\n')
    expect(bare.rows.map(({ timeMs, leftOut }) => leftOut ?? timeMs)).toEqual([0, 'no_value', 2_000])
    expect(bare.assumed).toEqual({ intervalMs: 1_000 })
    const long = await read('7\n'.repeat(150_000), {}, 1 << 20)
    expect(long.rows.length).toBe(150_000)
  })
  test('a column that numbers the rows is as good as times', async () => {
    const text = 'index,level\n7,50\n8,60\n9,55\n12,50\n'
    const times = async (options?: Partial<ReadOptions>) => {
      const { rows, assumed, columns } = await read(text, options)
      return [columns.value, rows.map(({ timeMs }) => timeMs), assumed]
    }
    expect(await times()).toEqual([1, [7_000, 8_000, 9_000, 12_000], { unit: 'row', intervalMs: 1_000 }])
    expect(await times({ intervalMs: 3_600_000 })).toEqual([1, [25.2e6, 28.8e6, 32.4e6, 43.2e6], { unit: 'row' }])
    const seconds = await times({ intervalMs: 3_600_000, timeUnit: 's', timestampColumn: 'index' })
    expect(seconds).toEqual([1, [7_000, 8_000, 9_000, 12_000], { unit: 's' }])
    const parts = await read('time,level\n0.00,5\n0.01,6\n0.02,5\n', { intervalMs: 60_000 })
    expect(parts.rows.map(({ timeMs }) => timeMs)).toEqual([0, 10, 20])
    expect((await read('0,5.2\n1,5.3\n2,5.1\n')).columns).toMatchObject({ time: 0, value: 1, hasHeader: false })
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
