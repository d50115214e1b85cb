/** What the panels of "Anomalies and alerts" and "Data quality" say, on a real influxd with a few events of known outcome. */
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dashboards } from './provisioning.ts'
import type { DashboardJson, PanelJson } from './rendering/dashboard-json.ts'
import { type InfluxAnswer, tableOf, timeSeriesOf } from './rendering/frames.ts'
import { fillQuery } from './rendering/macros.ts'
import { type EmptyInflux, exampleContracts, startEmptyInflux } from './testing.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

let influx: EmptyInflux
let built: readonly DashboardJson[]
const nowMs = systemClock.wallMs()
beforeAll(async () => {
  influx = await startEmptyInflux()
  built = dashboards(await exampleContracts()) as unknown as DashboardJson[]
  await influx.query('CREATE DATABASE t')
  await influx.query('CREATE RETENTION POLICY rollup ON t DURATION INF REPLICATION 1 SHARD DURATION 7d')
  await influx.write('t', EVENTS)
  await influx.write('t', WINDOWS, 'rollup')
})
afterAll(() => influx?.stop())

/** An alert's states, in minutes before now. */
const alert = (
  device: string,
  episode: string,
  kind: string,
  states: readonly [state: string, ageMs: number, more?: string][],
) =>
  states.map(
    ([state, ageMs, more = '']) =>
      `alert,site=plant,device=${device},rule=${kind}.limit,detector=limit,field=x episode="${episode}",kind="${kind}",state="${state}",severity="warning",value=1,message="m"${more} ${nowMs - ageMs}`,
  )
const EVENTS = [
  ...alert('old', 'a', 'tank', [['firing', 3 * DAY]]),
  ...alert('answered', 'b', 'tank', [
    ['firing', 2 * HOUR],
    ['acknowledged', 2 * HOUR - 5 * MINUTE, ',by="ann",comment="on it",after_seconds=300'],
  ]),
  ...alert('over', 'c', 'power', [
    ['firing', HOUR, ',held="silenced by 1"'],
    ['resolved', HOUR - 10 * MINUTE, ',after_seconds=600'],
  ]),
  ...alert('over', 'd', 'power', [
    ['firing', 30 * MINUTE],
    ['acknowledged', 30 * MINUTE - 100_000, ',by="ben",comment="",after_seconds=100'],
    ['resolved', 20 * MINUTE, ',after_seconds=600'],
  ]),
  ...alert('past', 'e', 'tank', [['historical', 10 * MINUTE]]),
  ...alert('long-over', 'f', 'tank', [
    ['firing', 3 * DAY],
    ['resolved', 2 * DAY, ',after_seconds=86400'],
  ]),
  ...[1, 2, 3].map(
    (i) =>
      `anomaly,site=plant,device=old,field=x,detector=outlier kind="tank",value=1,score=0.9,message="m" ${nowMs - i * MINUTE}`,
  ),
  `anomaly,site=plant,device=pi-1,field=y,detector=flatline kind="agent_health",value=1,score=0.9,message="m" ${nowMs - MINUTE}`,
  `data_quality,site=plant,device=tank-1,field=level_percent,issue=out_of_range kind="tank",policy="reject",samples=40i ${nowMs - HOUR}`,
  `data_quality,site=plant,device=tank-2,issue=late kind="tank",samples=70i ${nowMs - HOUR}`,
  ...[
    [30, 1_000, 100],
    [20, 2_000, 120],
    [10, 3_000, 150],
  ].map(
    ([age = 0, stored, late]) =>
      `processor_health,site=plant,device=p readings_stored_total=${stored}i,readings_late_total=${late}i ${nowMs - age * MINUTE}`,
  ),
]
/** Of tank-1 all minutes of ten hours, of tank-2 every other, of tank-3 three times what is expected; further back they lie by hours. */
const contractSamples = async () => 60_000 / ((await exampleContracts()).get('tank')?.interval ?? 0)
const samplesAMinute = await contractSamples()
const minuteMs = Math.floor(nowMs / MINUTE) * MINUTE
const hourMs = Math.floor(nowMs / HOUR) * HOUR
const counted = (device: string, width: string, samples: number, timeMs: number) =>
  `tank_${width},site=plant,device=${device} level_percent_count=${samples}i ${timeMs}`
const WINDOWS = [
  ...Array.from({ length: 600 }, (_, i) => i + 1).flatMap((i) => [
    counted('tank-1', '1m', samplesAMinute, minuteMs - i * MINUTE),
    ...(i % 2 === 0 ? [counted('tank-2', '1m', samplesAMinute, minuteMs - i * MINUTE)] : []),
    counted('tank-3', '1m', samplesAMinute * 3, minuteMs - i * MINUTE),
  ]),
  ...Array.from({ length: 120 }, (_, i) =>
    counted('tank-1', '1h', i % 4 === 0 ? samplesAMinute * 30 : samplesAMinute * 60, hourMs - (i + 1) * HOUR),
  ),
]

const ALL = { values: ['$__all'], allValue: '.*', options: [], isPattern: true }

async function answersOf(uid: string, title: string, spanMs: number, kind?: string): Promise<InfluxAnswer[]> {
  const panel = built.find((d) => d.uid === uid)?.panels?.find((p) => p.title === title) as PanelJson
  const variables = ['site', 'device', 'kind'].map((name) => ({
    ...ALL,
    name,
    ...(name === 'kind' && kind ? { values: [kind] } : {}),
  }))
  const context = {
    range: { fromMs: nowMs - spanMs, toMs: nowMs },
    intervalMs: panel.interval === '1h' ? HOUR : MINUTE,
    variables,
  }
  return Promise.all((panel.targets ?? []).map(({ query }) => influx.query(fillQuery(query, context), 't')))
}
/** As "column column" of each row. */
async function rowsOf(uid: string, title: string, columns: readonly string[], spanMs = 6 * HOUR): Promise<string[]> {
  const tables = (await answersOf(uid, title, spanMs)).map((answer) => tableOf(answer))
  return tables.flatMap(({ fields, rowCount }) =>
    Array.from({ length: rowCount }, (_, row) =>
      columns.map((column) => String(fields.find((f) => f.name === column)?.values[row] ?? '')).join(' '),
    ),
  )
}
const numberOf = async (uid: string, title: string, spanMs = 6 * HOUR, kind?: string) =>
  (await answersOf(uid, title, spanMs, kind))
    .flatMap((answer) => timeSeriesOf(answer, undefined))
    .at(-1)
    ?.values.at(-1) ?? null

describe('Anomalies and alerts', () => {
  const uid = 'tributary-alerts'

  it.each([
    ['Open now', 2],
    ['Nobody is on it', 1],
    ['Fired', 3],
    ['Nobody was told', 1],
    ['Acknowledged in', 200],
    ['Anomalies', 4],
  ])('%s', async (title, expected) => {
    expect(await numberOf(uid, title)).toBe(expected)
  })

  it('of one kind', async () => {
    expect(await numberOf(uid, 'Open now', 6 * HOUR, 'power')).toBeNull()
    expect(await numberOf(uid, 'Fired', 6 * HOUR, 'power')).toBe(2)
    expect(await numberOf(uid, 'Anomalies', 6 * HOUR, 'agent_health')).toBe(1)
  })

  it('open ones are there whatever range is shown', async () => {
    const rows = await rowsOf(uid, 'Open', ['device', 'state', 'rule'], 5 * MINUTE)
    expect(rows.sort()).toEqual(['answered acknowledged tank.limit', 'old firing tank.limit'])
  })

  it('states begin with what was open when the range began, and leave out what was over or never told', async () => {
    const series = (await answersOf(uid, 'States', 6 * HOUR)).flatMap((a) => timeSeriesOf(a, '$tag_device $tag_rule'))
    expect(series.map(({ name, values }) => `${name}: ${values.join(', ')}`)).toEqual([
      'answered tank.limit: firing, acknowledged',
      'old tank.limit: firing',
      'over power.limit: firing, resolved, firing, acknowledged, resolved',
    ])
  })

  it('who acknowledged, after how long, and what they said', async () => {
    expect(await rowsOf(uid, 'Acknowledged', ['device', 'by', 'after_seconds', 'comment'])).toEqual([
      'over ben 100 ',
      'answered ann 300 on it',
    ])
  })

  it('counts by detector and by kind', async () => {
    const counts = async (title: string, alias: string) =>
      (await answersOf(uid, title, 6 * HOUR))
        .flatMap((a) => timeSeriesOf(a, alias))
        .map((s) => `${s.name} ${s.values.at(-1)}`)
    expect(await counts('Anomalies by detector', '$tag_detector')).toEqual(['flatline 1', 'outlier 3'])
    expect(await counts('Anomalies by kind', '$m')).toEqual(['anomaly 1', 'anomaly 3'])
  })
})

describe('Data quality', () => {
  const uid = 'tributary-quality'

  it.each([
    ['Against the contract', 40],
    ['Devices affected', 2],
    ['Late share', 2.5],
  ])('%s', async (title, expected) => {
    expect(await numberOf(uid, title)).toBeCloseTo(expected, 9)
  })

  it('devices with their issues', async () => {
    expect((await rowsOf(uid, 'Worst devices', ['device', 'samples'])).sort()).toEqual(['tank-1 40', 'tank-2 70'])
    expect(await rowsOf(uid, 'By contract rule', ['device', 'field', 'issue', 'policy', 'samples', 'kind'])).toEqual([
      'tank-1 level_percent out_of_range reject 40 tank',
    ])
  })

  it('completeness counts what is absent, to the minute; more than all is all', async () => {
    expect((await rowsOf(uid, 'Completeness', ['device', 'complete'])).sort()).toEqual([
      'tank-1 100',
      'tank-2 50',
      'tank-3 100',
    ])
    const absent = (await answersOf(uid, 'Tank: absent by the hour', 6 * HOUR)).flatMap((a) =>
      timeSeriesOf(a, '$tag_device'),
    )
    const [whole, half, more] = absent
    for (const series of [whole, more]) expect(new Set(series?.values)).toEqual(new Set([0]))
    // Of the first and the last hour there may be an odd number of minutes.
    expect(new Set(half?.values.slice(1, -1))).toEqual(new Set([50]))
  })

  it('over days it is counted by hours: one in four was half empty', async () => {
    const [row, ...others] = await rowsOf(uid, 'Completeness', ['device', 'complete'], 4 * DAY)
    expect(others).toEqual([])
    expect(row).toMatch(/^tank-1 87\.[2-9]/)
    const hours = (await answersOf(uid, 'Tank: absent by the hour', 4 * DAY)).flatMap((a) =>
      timeSeriesOf(a, '$tag_device'),
    )
    expect(hours.map((s) => s.name)).toEqual(['tank-1'])
    expect(new Set(hours[0]?.values)).toEqual(new Set([0, 50]))
  })
})
