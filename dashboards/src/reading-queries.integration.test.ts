/** What the charts of a device read, value by value, from a real influxd. */
import type { Contract } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { EXAMPLE_SITE, exampleValue } from './example-lines.ts'
import {
  counterQuery,
  envelopeQuery,
  expectedQuery,
  extremesQuery,
  hoursQueries,
  meanQuery,
  stateQuery,
} from './reading-queries.ts'
import { type InfluxAnswer, type Series, timeSeriesOf } from './rendering/frames.ts'
import { fillQuery, type SelectedVariable } from './rendering/macros.ts'
import type { TimeRange } from './rendering/time-range.ts'
import { type ExampleInflux, exampleContracts, startExampleInflux } from './testing.ts'

let influx: ExampleInflux
let climate: Contract
let power: Contract
let tank: Contract
let host: Contract
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

beforeAll(async () => {
  influx = await startExampleInflux(systemClock.wallMs())
  const contracts = await exampleContracts()
  ;[climate, power, tank, host] = ['climate', 'power', 'tank', 'host'].map((kind) => contracts.get(kind)) as [
    Contract,
    Contract,
    Contract,
    Contract,
  ]
}, 120_000)
afterAll(() => influx?.stop())

const variable = (name: string, value: string): SelectedVariable => ({
  name,
  values: [value],
  options: [value],
  isPattern: false,
})

async function ask(query: string, range: TimeRange, intervalMs: number, device: string): Promise<Series[]> {
  const variables = [variable('site', EXAMPLE_SITE), variable('device', device), variable('midnight', '22')]
  const url = new URL('/query?db=tributary&epoch=ms', influx.url)
  url.searchParams.set('q', fillQuery(query, { range, intervalMs, variables }))
  const answer = (await (await fetch(url)).json()) as InfluxAnswer
  expect(answer.results?.[0]).not.toHaveProperty('error')
  return timeSeriesOf(answer, '$col')
}
const valuesOf = (series: readonly Series[], name: string) => series.find((s) => s.name === name)?.values ?? []
const floor = (timeMs: number, sizeMs: number) => Math.floor(timeMs / sizeMs) * sizeMs
/** A span that ended some while ago, of whole intervals. */
function spanOf(intervalMs: number, count: number, agoMs: number): TimeRange {
  const toMs = floor(influx.nowMs - agoMs, intervalMs)
  return { fromMs: toMs - count * intervalMs, toMs: toMs - 1 }
}
const temperature = (timeMs: number) => exampleValue('climate', 'thermometer-1', 'temperature_c', timeMs)
const every = (from: number, stepMs: number, count: number) =>
  Array.from({ length: count }, (_, i) => from + i * stepMs)

it.each([
  ['10 s', 30_000, 10_000],
  ['1 min', 120_000, 60_000],
  ['15 min', 1_800_000, 900_000],
  ['1 h', 7_200_000, HOUR_MS],
])(
  'mean and extremes come from windows of %s when the chart has one point for several',
  async (_, intervalMs, widthMs) => {
    const range = spanOf(intervalMs, 4, HOUR_MS)
    const series = await ask(envelopeQuery(climate, 'temperature_c'), range, intervalMs, 'thermometer-1')
    const means = every(range.fromMs, intervalMs, 4).map((start) =>
      every(start, widthMs, intervalMs / widthMs).map(temperature),
    )
    const rounded = (values: readonly unknown[]) => values.map((value) => Number(value).toFixed(6))
    expect(rounded(valuesOf(series, 'mean'))).toEqual(rounded(means.map((m) => m.reduce((a, b) => a + b) / m.length)))
    // The example's windows reach one degree above and below their means.
    expect(rounded(valuesOf(series, 'highest'))).toEqual(rounded(means.map((m) => Math.max(...m) + 1)))
    expect(rounded(valuesOf(series, 'lowest'))).toEqual(rounded(means.map((m) => Math.min(...m) - 1)))
  },
)

it('close up, the readings themselves are shown, and a hole as one', async () => {
  const range = { fromMs: influx.nowMs - 470_000, toMs: influx.nowMs - 390_000 }
  const series = await ask(envelopeQuery(climate, 'temperature_c'), range, 1_000, 'thermometer-2')
  const mean = valuesOf(series, 'mean')
  expect(mean.filter((value) => value === null).length).toBeGreaterThanOrEqual(59)
  expect(mean.filter((value) => value !== null).length).toBeGreaterThanOrEqual(19)
  expect(valuesOf(series, 'highest')).toEqual(mean)
  expect(valuesOf(series, 'lowest')).toEqual(mean)
})

it('a window that is half filled weighs half; whole numbers have means that are none', async () => {
  const start = floor(influx.nowMs, HOUR_MS) - HOUR_MS
  const write = async (policy: string, lines: string[]) => {
    const url = `${influx.url}/write?db=tributary&rp=${policy}&precision=ms`
    expect((await fetch(url, { method: 'POST', body: lines.join('\n') })).status).toBe(204)
  }
  const row = (mean: number, count: number, timeMs: number) =>
    `climate_1m,site=${EXAMPLE_SITE},device=halves temperature_c_mean=${mean},temperature_c_min=${mean - 1},temperature_c_max=${mean + 2},temperature_c_count=${count}i ${timeMs}`
  await write('rollup', [row(10, 60, start), row(40, 30, start + 60_000)])
  await write(
    'autogen',
    [3, 4].map((n) => `host,site=${EXAMPLE_SITE},device=halves memory_used_bytes=${n}i ${start + n}`),
  )
  const range = { fromMs: start, toMs: start + 119_999 }
  const series = await ask(envelopeQuery(climate, 'temperature_c'), range, 120_000, 'halves')
  expect(series.map(({ name, values }) => [name, ...values])).toEqual([
    ['highest', 42],
    ['lowest', 9],
    ['mean', 20],
  ])
  const bytes = await ask(envelopeQuery(host, 'memory_used_bytes'), { ...range, toMs: start + 4_999 }, 5_000, 'halves')
  expect(valuesOf(bytes, 'mean')).toEqual([3.5])
})

it('counters have what they grew by, and their rate in its own unit', async () => {
  const range = spanOf(60_000, 5, HOUR_MS)
  const series = await ask(counterQuery(power, 'energy_wh', 3_600), range, 60_000, 'power-1')
  // The example's counters grow by two a second: 2 Wh a second are 7200 W.
  expect(valuesOf(series, 'rate')).toEqual(new Array(5).fill(7_200))
  expect(valuesOf(series, 'increase')).toEqual(new Array(5).fill(120))
  const windowless = { ...power, windows: [] }
  const close = await ask(counterQuery(windowless, 'energy_wh', 1), spanOf(10_000, 6, 60_000), 10_000, 'power-1')
  expect(new Set(valuesOf(close, 'increase'))).toEqual(new Set([10]))
  expect(new Set(valuesOf(close, 'rate'))).toEqual(new Set([1]))
})

it.each([
  ['readings', 1_000, 60_000],
  ['windows', 60_000, HOUR_MS],
  ['windows of an hour', HOUR_MS, 2 * DAY_MS],
])('states are known from %s', async (_, intervalMs, agoMs) => {
  const range = spanOf(intervalMs, 10, agoMs)
  for (const field of ['pump_on', 'state']) {
    const [series] = await ask(stateQuery(tank, field, { isEach: true }), range, intervalMs, 'tank-1')
    const states = field === 'state' ? ['filling', 'draining', 'idle'] : [true, false]
    expect(series?.values.filter((value) => value !== null).length).toBeGreaterThanOrEqual(9)
    for (const value of series?.values ?? []) if (value !== null) expect(states).toContain(value)
  }
})

it('what was expected begins before the chart does, and is left out where it would be long', async () => {
  const range = spanOf(60_000, 5, HOUR_MS)
  const query = expectedQuery(climate, 'temperature_c')
  const series = await ask(query, range, 10_000, 'thermometer-1')
  expect(series.map((s) => s.name)).toEqual(['expected at most', 'expected at least'])
  const [upper, lower] = series.map(({ values }) => values.filter((value) => value !== null).map(Number))
  expect(upper).toHaveLength(6)
  expect(upper?.[0]).toBeCloseTo(temperature(range.fromMs - 60_000) + 2, 6)
  expect(lower?.[5]).toBeCloseTo(temperature(range.fromMs + 240_000) - 2, 6)
  expect(await ask(query, spanOf(HOUR_MS, 5, HOUR_MS), HOUR_MS, 'thermometer-1')).toEqual([])
})

it('one device lies within all of them, and a field that was not chosen is not read', async () => {
  const range = spanOf(60_000, 30, HOUR_MS)
  const all = await ask(extremesQuery(climate, 'temperature_c', { where: '"site" = \'workshop\'' }), range, 60_000, '')
  const chosen = { where: `"device" = 'thermometer-1' AND 'temperature_c' = 'temperature_c'`, isEach: true }
  const one = valuesOf(await ask(meanQuery(climate, 'temperature_c', chosen), range, 60_000, ''), 'mean')
  expect(one).toHaveLength(30)
  one.forEach((value, i) => {
    expect(Number(value)).toBeGreaterThanOrEqual(Number(valuesOf(all, 'lowest of all')[i]))
    expect(Number(value)).toBeLessThanOrEqual(Number(valuesOf(all, 'highest of all')[i]))
  })
  const other = { where: `'humidity_percent' = 'temperature_c'` }
  expect(await ask(meanQuery(climate, 'temperature_c', other), range, 60_000, '')).toEqual([])
})

it('hours of the day stand in the day and the hour of the time that was chosen', async () => {
  const range = { fromMs: influx.nowMs - 10 * DAY_MS, toMs: influx.nowMs }
  const queries = hoursQueries('climate', 'temperature_c', '"device" = \'thermometer-1\'', `\${midnight}`)
  const series = (await Promise.all(queries.map((query) => ask(query, range, HOUR_MS, '')))).flat()
  expect(series.map((s) => s.name)).toEqual(every(0, 1, 24).map((hour) => `${String(hour).padStart(2, '0')}:00`))
  for (const [hour, { timesMs, values }] of series.entries()) {
    expect(values.filter((value) => value !== null).length).toBeGreaterThanOrEqual(9)
    timesMs.forEach((dayMs, i) => {
      // Midnight is at 22:00 UTC.
      expect(dayMs % DAY_MS).toBe(22 * HOUR_MS)
      if (values[i] !== null) expect(values[i]).toBeCloseTo(temperature(dayMs + hour * HOUR_MS), 6)
    })
  }
})
