/** What the queries of the pipeline's health answer, against a real influxd with points of known outcome. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  agentRateQuery,
  newestStoredQuery,
  totalQuery,
  totalRateQuery,
  waitingLettersQuery,
} from './account-queries.ts'
import { cardLife, gaugeOfAll, newestOfAll, stateQuery, writtenADay } from './pipeline-queries.ts'
import { type Series, tableOf, timeSeriesOf } from './rendering/frames.ts'
import { fillQuery } from './rendering/macros.ts'
import { type EmptyInflux, startEmptyInflux } from './testing.ts'

const TO_MS = 1_767_225_600_000
const MINUTE_MS = 60_000
const range = { fromMs: TO_MS - 10 * MINUTE_MS, toMs: TO_MS + 7_000 }
let influx: EmptyInflux

/** Ten minutes and seven seconds: the newest minute has just begun. */
function lines(): string[] {
  const all: string[] = []
  for (let second = -600; second <= 7; second++) {
    const at = TO_MS + second * 1_000
    const grown = second + 600
    if (second % 5 === 0)
      for (const [agent, pace] of [
        ['a-1', 3],
        ['a-2', 40],
      ] as const)
        all.push(
          `account,site=s,device=${agent} produced=${grown * pace}i,stored=${grown * pace}i,missing=${pace}i ${at}`,
        )
    if (second % 10 !== 0) continue
    // Started anew after five minutes; out of reach from the eighth on.
    const written = (second < -300 ? grown : second + 300) * 100_000
    const [state, p99] = second < -120 ? ['live', 900] : ['draining', 40_000]
    if (second < -120)
      all.push(
        `agent_health,site=s,device=a-1 state="${state}",spool_bytes_written_total=${written}i,drain_seconds=7,acknowledged_p99_ms=500 ${at}`,
      )
    all.push(
      `agent_health,site=s,device=a-2 state="${state}",spool_bytes_written_total=5i,drain_seconds=90,acknowledged_p99_ms=${p99} ${at}`,
    )
    all.push(
      `gateway_health,site=s,device=g-1 state="live",spool_bytes_written_total=${grown * 200_000}i,drain_seconds=1 ${at}`,
    )
    all.push(`agent_health,site=other,device=b-1 state="live",drain_seconds=99999,acknowledged_p99_ms=99999 ${at}`)
  }
  const letter = (reason: string, readings: number) =>
    `dead_letter,site=s,device=a-1,stage=contract,reason=${reason} letters=1i,readings=${readings}i ${TO_MS}`
  return [...all, letter('wrong_type', 4), letter('out_of_range', 8), letter('dropped', 70)]
}

beforeAll(async () => {
  influx = await startEmptyInflux()
  await influx.query('CREATE DATABASE tributary')
  await influx.write('tributary', lines())
})
afterAll(() => influx?.stop())

const variables = [
  { name: 'site', values: ['s'], options: [], isPattern: true },
  { name: 'endurance', values: ['30'], options: [], isPattern: false },
]
const ask = (query: string) => influx.query(fillQuery(query, { range, intervalMs: MINUTE_MS, variables }), 'tributary')
const seriesOf = async (query: string): Promise<Series[]> => timeSeriesOf(await ask(query), '$tag_device')
const numbers = async (query: string) =>
  Object.fromEntries((await seriesOf(query)).map(({ name, values }) => [name, values]))

describe('growth', () => {
  it('is as fast in the interval that has just begun as in those before', async () => {
    const [total] = await seriesOf(totalRateQuery('stored'))
    expect(total?.values).toEqual(Array(11).fill(43))
    expect(await numbers(agentRateQuery('produced'))).toEqual({ 'a-1': Array(11).fill(3), 'a-2': Array(11).fill(40) })
  })

  it('of a counter that began anew is never less than none', async () => {
    const { 'a-1': written = [] } = await numbers(writtenADay)
    expect(written.map(Number).every((value) => value >= 0)).toBe(true)
    expect(Number(written[1])).toBeCloseTo(100_000 * 86_400, 0)
    expect(Number(written.at(-1))).toBeCloseTo(100_000 * 86_400, 0)
  })
})

it('a card lasts for its endurance over what is written in a day; one that is not written to has no row', async () => {
  const { fields, rowCount } = tableOf(await ask(cardLife))
  const column = (name: string) => fields.find((field) => field.name === name)?.values ?? []
  const rows = Array.from({ length: rowCount }, (_, i) => [
    column('device')[i],
    Math.round(Number(column('years')[i]) * 10) / 10,
  ])
  const years = (bytesASecond: number) => Math.round((30e12 / (bytesASecond * 86_400) / 365) * 10) / 10
  expect(rows).toEqual([
    // One of its intervals began anew, and counts as none.
    ['a-1', expect.closeTo(years(100_000), 0)],
    ['g-1', years(200_000)],
  ])
})

it('gauges of all are the worst of the chosen site, or their sum, and what was last said stands', async () => {
  const [p99] = await seriesOf(gaugeOfAll('agent_health', 'acknowledged_p99_ms', 'max'))
  expect([p99?.values[0], p99?.values.at(-1)]).toEqual([900, 40_000])
  expect((await seriesOf(newestOfAll('agent_health', 'drain_seconds', 'max')))[0]?.values).toEqual([90])
  expect((await seriesOf(newestOfAll('agent_health', 'drain_seconds', 'sum')))[0]?.values).toEqual([97])
  expect((await seriesOf(totalQuery('missing')))[0]?.values).toEqual([43])
  expect((await seriesOf(waitingLettersQuery))[0]?.values).toEqual([12])
  expect((await seriesOf(newestStoredQuery))[0]?.timesMs).toEqual([TO_MS + 5_000])
})

it('states are of each minute, and nothing where a process was not heard', async () => {
  const { 'a-1': gone = [], 'a-2': heard = [] } = await numbers(stateQuery('agent_health'))
  expect(gone).toEqual([...Array(8).fill('live'), null, null, null])
  expect(heard).toEqual([...Array(8).fill('live'), ...Array(3).fill('draining')])
})
