/** Every query of every dashboard against a real influxd that holds what the processor writes. */
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exampleValue } from './example-lines.ts'
import { fieldQueries } from './influxql.ts'
import { dashboards } from './provisioning.ts'
import { createQueryProxy, type QueryProxy } from './query-proxy.ts'
import type { DashboardJson, PanelJson } from './rendering/dashboard-json.ts'
import { type InfluxAnswer, lastNotNull, tableOf, tagValuesOf, timeSeriesOf } from './rendering/frames.ts'
import { fillQuery, type SelectedVariable } from './rendering/macros.ts'
import { durationMs, intervalMs, type TimeRange } from './rendering/time-range.ts'
import { inOrder, ownOptions, queryOf, select } from './rendering/variables.ts'
import { type ExampleInflux, exampleContracts, startExampleInflux } from './testing.ts'

let influx: ExampleInflux
let proxy: QueryProxy
let built: readonly DashboardJson[]
const never = new AbortController().signal

beforeAll(async () => {
  influx = await startExampleInflux(systemClock.wallMs())
  const access = { url: influx.url, database: 'tributary', version: 1, auth: { kind: 'none' } } as const
  proxy = createQueryProxy(access, systemClock)
  built = dashboards(await exampleContracts()) as unknown as DashboardJson[]
})
afterAll(() => influx?.stop())

async function ask(query: string): Promise<InfluxAnswer> {
  const { status, body } = await proxy(query, never)
  expect(status, `${query}\n${body.slice(0, 300)}`).toBe(200)
  return JSON.parse(body)
}

const rangeOf = (spanMs: number): TimeRange => ({ fromMs: influx.nowMs - spanMs, toMs: influx.nowMs })
const WIDTH_PX = 600

async function variablesOf(dashboard: DashboardJson): Promise<SelectedVariable[]> {
  const selected: SelectedVariable[] = []
  for (const variable of inOrder(dashboard.templating?.list ?? [])) {
    const context = { range: rangeOf(900_000), intervalMs: 1_000, variables: selected }
    const options = ownOptions(variable) ?? tagValuesOf(await ask(fillQuery(queryOf(variable), context)))
    expect(options.length, `${dashboard.title}: no values of $${variable.name}`).toBeGreaterThan(0)
    selected.push(select(variable, [], options))
  }
  return selected
}

async function answersOf(panel: PanelJson, range: TimeRange, variables: readonly SelectedVariable[]) {
  const own = panel.timeFrom ? rangeOf(durationMs(panel.timeFrom) as number) : range
  const interval = intervalMs(own, WIDTH_PX, durationMs(panel.interval ?? '') ?? 1_000)
  return Promise.all(
    (panel.targets ?? []).map((target) =>
      ask(fillQuery(target.query, { range: own, intervalMs: interval, variables })),
    ),
  )
}

const isFilled = (panel: PanelJson, answers: readonly InfluxAnswer[]): boolean =>
  panel.type === 'table'
    ? answers.some((a) => tableOf(a).rowCount > 0)
    : answers.some((a) => timeSeriesOf(a, undefined).some((s) => lastNotNull(s) !== null))

describe('queries', () => {
  it.each([
    ['15 minutes: raw readings', 900_000],
    ['6 hours: 10 s windows', 21_600_000],
    ['24 hours: 1 min windows', 86_400_000],
  ])('each panel has data over %s', async (_, spanMs) => {
    const empty: string[] = []
    for (const dashboard of built) {
      const variables = await variablesOf(dashboard)
      for (const panel of dashboard.panels ?? []) {
        const answers = await answersOf(panel, rangeOf(spanMs), variables)
        if (!isFilled(panel, answers)) empty.push(`${dashboard.title} / ${panel.title}`)
        if (answers.length === 5) {
          const answering = answers.map((a) => timeSeriesOf(a, undefined).length > 0)
          expect(answering.filter(Boolean), `${panel.title}: one source answers`).toHaveLength(1)
          expect(answering[[900_000, 21_600_000, 86_400_000].indexOf(spanMs)]).toBe(true)
        }
      }
    }
    expect(empty).toEqual([])
  })

  it('annotations name an event and what it concerns', async () => {
    for (const dashboard of built) {
      const variables = await variablesOf(dashboard)
      let events = 0
      for (const { target } of dashboard.annotations?.list ?? []) {
        const answer = await ask(
          fillQuery(target?.query ?? '', { range: rangeOf(900_000), intervalMs: 1_000, variables }),
        )
        const table = tableOf(answer)
        events += table.rowCount
        if (table.rowCount > 0)
          for (const column of [target?.textColumn, ...(target?.tagsColumn ?? '').split(',')])
            expect(table.fields.map((f) => f.name)).toContain(column)
      }
      if (dashboard.annotations?.list?.length) expect(events, dashboard.title).toBeGreaterThan(0)
    }
  })

  /** As `title: text | tag, tag`, of every annotation of a dashboard that has events. */
  async function eventsOf(uid: string): Promise<string[]> {
    const dashboard = built.find((d) => d.uid === uid) as DashboardJson
    const variables = await variablesOf(dashboard)
    const all = (dashboard.annotations?.list ?? []).map(async ({ name, target }) => {
      const context = { range: rangeOf(900_000), intervalMs: 1_000, variables }
      const { fields, rowCount } = tableOf(await ask(fillQuery(target?.query ?? '', context)))
      const cell = (column: string, row: number) => fields.find((f) => f.name === column)?.values[row] ?? ''
      const tags = (target?.tagsColumn ?? '').split(',')
      return Array.from({ length: rowCount }, (_, row) => {
        const said = tags.map((tag) => cell(tag, row)).filter((tag) => tag !== '')
        return `${name}: ${String(cell(target?.textColumn ?? '', row)).slice(0, 20)} | ${said.join(', ')}`
      })
    })
    return (await Promise.all(all)).flat()
  }

  it('charts show what was noticed, of a field and of the device, and each state of what people were told', async () => {
    expect((await eventsOf('tributary-vibration')).sort()).toEqual(
      [
        'Alerts acknowledged: Vibration velocity:  | pump-1, critical, acknowledged, ann, on my way',
        'Alerts escalated: Vibration velocity:  | pump-1, critical, escalated',
        'Alerts firing: Bearing temperature: | pump-2, warning, firing, silenced by 3f0c9a52',
        'Alerts firing: Vibration velocity:  | pump-1, critical, firing',
        'Alerts firing: Vibration velocity:  | pump-1, warning, firing',
        'Alerts pending: Vibration velocity:  | pump-1, critical, pending',
        'Alerts resolved: Bearing temperature: | pump-2, warning, resolved',
        'Alerts resolved: Vibration velocity:  | pump-1, warning, resolved',
        'Anomalies: Vibration velocity (RMS): Vibration velocity:  | pump-1, outlier, jump, confirmed',
        'Anomalies: Vibration velocity (RMS): Vibration velocity:  | pump-1, threshold_above_7.1',
        'Anomalies: the device: Bearing temperature: | pump-2, together_velocity_rms_mm_s+temperature_c, temperature_c, dismissed',
      ].sort(),
    )
    expect(await eventsOf('tributary-agent-health')).toContain(
      'Alerts firing: nothing was heard of | agent-1, critical, firing',
    )
    expect((await eventsOf('tributary-gateway-health')).join()).not.toContain('nothing was heard of')
  })

  it('tables say who confirmed, dismissed or acknowledged what, and what nobody was told of', async () => {
    const dashboard = built.find((d) => d.uid === 'tributary-vibration') as DashboardJson
    const variables = await variablesOf(dashboard)
    const rowsOf = async (title: string, ...columns: string[]) => {
      const panel = dashboard.panels?.find((p) => p.title === title) as PanelJson
      const [answer] = await answersOf(panel, rangeOf(900_000), variables)
      const { fields, rowCount } = tableOf(answer as InfluxAnswer)
      return Array.from({ length: rowCount }, (_, row) =>
        columns.map((column) => fields.find((f) => f.name === column)?.values[row] ?? '').join(' '),
      )
    }
    expect(await rowsOf('Anomalies', 'device', 'component', 'feedback', 'feedback_by')).toEqual([
      'pump-1   ',
      'pump-1 jump confirmed ann',
      'pump-2 temperature_c dismissed ann',
    ])
    const alerts = await rowsOf('Alerts', 'device', 'state', 'held', 'by', 'comment')
    expect(alerts).toContain('pump-1 acknowledged  ann on my way')
    expect(alerts).toContain('pump-2 firing silenced by 3f0c9a52  ')
    const fleet = built.find((d) => d.uid === 'tributary-fleet') as DashboardJson
    const open = fleet.panels?.find((p) => p.title === 'Open alerts') as PanelJson
    const [answer] = await answersOf(open, rangeOf(900_000), await variablesOf(fleet))
    const { fields } = tableOf(answer as InfluxAnswer)
    expect(fields.filter(({ name }) => ['device', 'state'].includes(name)).map(({ values }) => values)).toEqual([
      ['pump-1'],
      ['acknowledged'],
    ])
  })

  it('a device that is picked is the only one shown', async () => {
    const dashboard = built.find((d) => d.uid === 'tributary-climate') as DashboardJson
    const variables = (await variablesOf(dashboard)).map((v) =>
      v.name === 'device' ? { ...v, values: ['thermometer-1'] } : v,
    )
    const panel = dashboard.panels?.find((p) => p.title === 'Temperature') as PanelJson
    const series = (await answersOf(panel, rangeOf(300_000), variables)).flatMap((a) => timeSeriesOf(a, '$tag_device'))
    expect(series.map((s) => s.name)).toEqual(['thermometer-1'])
  })

  it('the device variable follows the site', async () => {
    const [site, device] = (built.find((d) => d.uid === 'tributary-climate') as DashboardJson).templating?.list ?? []
    if (!site || !device) throw new Error('the climate dashboard has two variables')
    const values = async (chosen: string) => {
      const variables = [select(site, [chosen], ['workshop', 'elsewhere'])]
      return tagValuesOf(
        await ask(fillQuery(queryOf(device), { range: rangeOf(900_000), intervalMs: 1_000, variables })),
      )
    }
    expect(await values('workshop')).toEqual(['thermometer-1', 'thermometer-2'])
    expect(await values('elsewhere')).toEqual([])
  })

  it.each(['mean', 'max', 'min'] as const)(
    '%s over an hour: from windows as from their readings',
    async (aggregate) => {
      const hourMs = 3_600_000
      const toMs = Math.floor(influx.nowMs / hourMs) * hourMs
      const pattern = { values: ['$__all'], allValue: '.*', options: [], isPattern: true }
      const context = {
        range: { fromMs: toMs - hourMs, toMs: toMs - 1 },
        intervalMs: hourMs,
        variables: [
          { name: 'site', ...pattern },
          { name: 'device', ...pattern },
          { ...pattern, name: 'aggregate', values: [aggregate], isPattern: false },
        ],
      }
      const answers = await Promise.all(fieldQueries('climate', 'temperature_c').map((q) => ask(fillQuery(q, context))))
      const series = answers.flatMap((a) => timeSeriesOf(a, '$tag_device'))
      expect(series.map((s) => s.name)).toEqual(['thermometer-1', 'thermometer-2'])
      const means = Array.from({ length: 60 }, (_, i) =>
        exampleValue('climate', 'thermometer-1', 'temperature_c', toMs - hourMs + i * 60_000),
      )
      const expected = {
        mean: means.reduce((a, b) => a + b) / 60,
        // The example's windows reach one degree above and below their means.
        max: Math.max(...means) + 1,
        min: Math.min(...means) - 1,
      }
      expect(series[0] && lastNotNull(series[0])).toBeCloseTo(expected[aggregate], 9)
    },
  )

  it('nothing that a browser sends changes the database', async () => {
    const measurements = async () => tableOf(await ask('SHOW MEASUREMENTS')).rowCount
    const before = await measurements()
    for (const attempt of [
      'DROP MEASUREMENT climate',
      'SELECT "temperature_c" INTO "copy" FROM "climate"',
      "SELECT /'/ FROM climate; DROP MEASUREMENT climate --'",
      'SELECT "temperature_c" FROM "climate" WHERE "device" =~ /x\\\\/; DROP MEASUREMENT climate',
      'SELECT "temperature_c" FROM "climate" /*;*/; DELETE FROM climate',
    ])
      expect((await proxy(attempt, never)).status, attempt).toBe(400)
    expect(await measurements()).toBe(before)
  })
})
