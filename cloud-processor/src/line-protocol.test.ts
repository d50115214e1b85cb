import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, systemClock } from '@tributary/runtime'
import { createInfluxServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createInfluxQuery, type InfluxQuery } from './influx-query.ts'
import { createInfluxSink, type InfluxSink } from './influx-sink.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'

const textOf = (lines: LineBuffer) => lines.bytes.toString('utf8', 0, lines.length)
const KEY = fieldKey('f')

function numberText(value: number, scale: number): string {
  const lines = new LineBuffer(16)
  const prefix = linePrefix('m', {})
  lines.begin(prefix)
  lines.float(KEY, value, scale)
  lines.end(prefix, 1, 1, 0)
  return textOf(lines).slice('m f='.length, -' 1\n'.length)
}

test('numbers read back as exactly the same double, whatever the decimals that were expected', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer(),
        fc.integer({ min: -1e9, max: 1e9 }).map((n) => n / 100),
        fc.constantFrom(
          0,
          -0,
          1e15,
          -1e15,
          1e21,
          5e-324,
          1.7976931348623157e308,
          0.1,
          123456789.98765433,
          999999999999999,
        ),
      ),
      fc.integer({ min: 0, max: 10 }),
      (value, decimals) => {
        const text = numberText(value, 10 ** decimals)
        expect(Number(text)).toBe(value === 0 ? 0 : value)
        expect(text).toMatch(/^-?\d+(\.\d+)?(e[+-]?\d+)?$/)
      },
    ),
    { numRuns: 2_000 },
  )
})

test('integers up to 2^53 and times before 1970 are written in full', () => {
  const lines = new LineBuffer(16)
  const prefix = linePrefix('m', { b: '2', a: '1' })
  for (const value of [0, 9, 10, 2_147_483_647, 2_147_483_648, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER]) {
    lines.begin(prefix)
    lines.integer(KEY, value)
    lines.end(prefix, -value - 1, 1, 0)
  }
  expect(textOf(lines).split('\n').slice(0, -1)).toEqual([
    'm,a=1,b=2 f=0i -1',
    'm,a=1,b=2 f=9i -10',
    'm,a=1,b=2 f=10i -11',
    'm,a=1,b=2 f=2147483647i -2147483648',
    'm,a=1,b=2 f=2147483648i -2147483649',
    'm,a=1,b=2 f=9007199254740991i -9007199254740992',
    'm,a=1,b=2 f=-9007199254740991i 9007199254740990',
  ])
})

test('a line without a field is taken back', () => {
  const lines = new LineBuffer()
  const prefix = linePrefix('m', { device: 'd' })
  lines.begin(prefix)
  lines.end(prefix, 1, 0, 0)
  expect([lines.count, lines.length]).toEqual([0, 0])
})

let folder: string
let influx: ManagedProcess & { url: string }
let sink: InfluxSink
let query: InfluxQuery
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-influx-'))
  influx = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await influx.start()
  sink = createInfluxSink(
    { url: influx.url, database: 'round', linesPerRequest: 5_000 },
    { clock: systemClock, log: createLogger('test', 'silent') },
  )
  query = createInfluxQuery({ url: influx.url, database: 'round' })
  await sink.prepare(AbortSignal.timeout(20_000))
})
afterAll(async () => {
  await sink.close()
  await query.close()
  await influx.stop()
  await rm(folder, { recursive: true, force: true })
})

test('what a real influxd gives back is what was written: text with quotes, backslashes, line breaks, any script; numbers', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.string({ unit: fc.constantFrom('"', '\\', '\n', ',', ' ', '=', 'a', '\r', '\t', '温', '🌡'), maxLength: 20 }),
  )
  const name = fc.string({
    unit: fc.constantFrom(',', ' ', '=', 'a', 'B', 'é', '温', '-', '"'),
    minLength: 1,
    maxLength: 12,
  })
  const points = fc.sample(
    fc.record({
      text: text,
      number: fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e300, max: 1e300 }),
      integer: fc.maxSafeInteger(),
      flag: fc.boolean(),
      device: name.filter((n) => n.trim() === n),
    }),
    { numRuns: 500, seed: 20 },
  )
  const keys = {
    text: fieldKey('text'),
    number: fieldKey('num, ber'),
    integer: fieldKey('int=eger'),
    flag: fieldKey('flag'),
  }
  const lines = new LineBuffer(64)
  for (const [i, point] of points.entries()) {
    const prefix = linePrefix('round trip', { device: point.device })
    lines.begin(prefix)
    lines.string(keys.text, point.text)
    lines.float(keys.number, point.number, 100)
    lines.integer(keys.integer, point.integer)
    lines.boolean(keys.flag, point.flag)
    lines.end(prefix, 1_700_000_000_000 + i, 4, 0)
  }
  await sink.write(lines, 'raw', AbortSignal.timeout(20_000))
  const [series] = await query('SELECT "text", "num, ber", "int=eger", flag, device FROM "round trip"')
  expect(series?.values.length).toBe(points.length)
  for (const [time, storedText, number, integer, flag, device] of series?.values ?? []) {
    const point = points[(time as number) - 1_700_000_000_000] as (typeof points)[number]
    expect({ storedText, number, flag, device }).toEqual({
      storedText: point.text,
      number: point.number === 0 ? 0 : point.number,
      flag: point.flag,
      device: point.device,
    })
    expect(integer).toBe(point.integer)
  }
})
