/** Every query of every dashboard against a real influxd that holds what the processor writes. */
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
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

/** A dashboard of one device is looked at for each of them. */
function choices(variables: readonly SelectedVariable[]): (readonly SelectedVariable[])[] {
  const device = variables.find((v) => v.name === 'device' && !v.isPattern)
  if (!device) return [variables]
  return device.options.map((value) => variables.map((v) => (v === device ? { ...v, values: [value] } : v)))
}

async function isFilledForAny(panel: PanelJson, range: TimeRange, all: readonly (readonly SelectedVariable[])[]) {
  for (const variables of all) if (isFilled(panel, await answersOf(panel, range, variables))) return true
  return false
}

/** Nothing is open of most devices: some dashboard has it. */
const SELDOM = ['Open alerts']
/** In the example somebody is on every alert; event-dashboards.integration.test.ts has others. */
const WELL = ['Anomalies and alerts / Nobody is on it']

describe('queries', () => {
  it.each([
    ['15 minutes: raw readings', 900_000],
    ['6 hours: windows of 10 s', 21_600_000],
    ['24 hours: windows of 1 min', 86_400_000],
    ['7 days: windows of 15 min', 604_800_000],
    ['4 weeks: windows of 1 h', 2_419_200_000],
  ])(
    'each panel has data over %s',
    async (_, spanMs) => {
      const empty: string[] = []
      const seen = new Set<string>()
      for (const dashboard of built) {
        const variables = choices(await variablesOf(dashboard))
        for (const panel of (dashboard.panels ?? []).filter(({ targets }) => targets?.length)) {
          if (await isFilledForAny(panel, rangeOf(spanMs), variables)) seen.add(panel.title ?? '')
          else empty.push(`${dashboard.title} / ${panel.title}`)
        }
      }
      const isSeldom = (name: string) => SELDOM.some((title) => name.endsWith(`/ ${title}`) && seen.has(title))
      expect(empty.filter((name) => !isSeldom(name))).toEqual(WELL)
    },
    60_000,
  )

  it('annotations name an event and what it concerns', async () => {
    for (const dashboard of built) {
      let events = 0
      for (const variables of choices(await variablesOf(dashboard)))
        for (const { target } of dashboard.annotations?.list ?? []) {
          const context = { range: rangeOf(900_000), intervalMs: 1_000, variables }
          const table = tableOf(await ask(fillQuery(target?.query ?? '', context)))
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
    const all = choices(await variablesOf(dashboard)).flatMap((variables) => eventsWith(dashboard, variables))
    return (await Promise.all(all)).flat()
  }
  const eventsWith = (dashboard: DashboardJson, variables: readonly SelectedVariable[]): Promise<string[]>[] =>
    (dashboard.annotations?.list ?? []).map(async ({ name, target }) => {
      const context = { range: rangeOf(900_000), intervalMs: 1_000, variables }
      const { fields, rowCount } = tableOf(await ask(fillQuery(target?.query ?? '', context)))
      const cell = (column: string, row: number) => fields.find((f) => f.name === column)?.values[row] ?? ''
      const tags = (target?.tagsColumn ?? '').split(',')
      return Array.from({ length: rowCount }, (_, row) => {
        const said = tags.map((tag) => cell(tag, row)).filter((tag) => tag !== '')
        return `${name}: ${String(cell(target?.textColumn ?? '', row)).slice(0, 20)} | ${said.join(', ')}`
      })
    })

  it('charts show what was noticed, of a field and of the device, and each state of what people were told', async () => {
    const events = await eventsOf('tributary-vibration')
    expect(events.filter((event) => !event.startsWith('Data: ')).sort()).toEqual(
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
    const climate = (await eventsOf('tributary-climate')).filter((event) => event.startsWith('Data: '))
    expect(new Set(climate)).toEqual(
      new Set([
        'Data: late: late | late',
        'Data: late: late_beyond_memory | late_beyond_memory',
        'Data: time not sure: time_corrected | time_corrected',
        'Data: time not sure: time_estimated | time_estimated',
        'Data: time not sure: time_untrusted | time_untrusted',
        'Data: against the contract: out_of_range | out_of_range, temperature_c, reject',
      ]),
    )
    expect(await eventsOf('tributary-agent-health')).toContain(
      'Alerts firing: nothing was heard of | agent-1, critical, firing',
    )
    expect((await eventsOf('tributary-gateway-health')).join()).not.toContain('nothing was heard of')
  })

  it('tables say who confirmed, dismissed or acknowledged what, and what nobody was told of', async () => {
    const dashboard = built.find((d) => d.uid === 'tributary-vibration') as DashboardJson
    const pumps = choices(await variablesOf(dashboard))
    const rowsOf = async (pump: number, title: string, ...columns: string[]) => {
      const panel = dashboard.panels?.find((p) => p.title === title && p.type === 'table') as PanelJson
      const [answer] = await answersOf(panel, rangeOf(900_000), pumps[pump] ?? [])
      const { fields, rowCount } = tableOf(answer as InfluxAnswer)
      return Array.from({ length: rowCount }, (_, row) =>
        columns.map((column) => fields.find((f) => f.name === column)?.values[row] ?? '').join(' '),
      )
    }
    const judged = ['component', 'feedback', 'feedback_by']
    expect(await rowsOf(0, 'Anomalies', ...judged)).toEqual(['  ', 'jump confirmed ann'])
    expect(await rowsOf(1, 'Anomalies', ...judged)).toEqual(['temperature_c dismissed ann'])
    const told = ['state', 'held', 'by', 'comment']
    expect(await rowsOf(0, 'Alerts', ...told)).toContain('acknowledged  ann on my way')
    expect(await rowsOf(1, 'Alerts', ...told)).toContain('firing silenced by 3f0c9a52  ')
    const fleet = built.find((d) => d.uid === 'tributary-fleet') as DashboardJson
    const open = fleet.panels?.find((p) => p.title === 'Open alerts' && p.type === 'table') as PanelJson
    const [answer] = await answersOf(open, rangeOf(900_000), await variablesOf(fleet))
    const { fields } = tableOf(answer as InfluxAnswer)
    expect(fields.filter(({ name }) => ['device', 'state'].includes(name)).map(({ values }) => values)).toEqual([
      ['pump-1'],
      ['acknowledged'],
    ])
  })

  it('the strip says how a device is: heard or silent, what is open, what was late, whose time is not sure', async () => {
    const stripOf = async (uid: string, chosen: number, range: TimeRange) => {
      const dashboard = built.find((d) => d.uid === uid) as DashboardJson
      const variables = choices(await variablesOf(dashboard))[chosen] ?? []
      const stats = (dashboard.panels ?? []).filter((panel) => panel.type === 'stat')
      const told = stats.map(async (panel) => {
        const [series] = (await answersOf(panel, range, variables)).flatMap((answer) => timeSeriesOf(answer, undefined))
        return [panel.title, series ? lastNotNull(series) : null]
      })
      return Object.fromEntries(await Promise.all(told))
    }
    expect(await stripOf('tributary-vibration', 0, rangeOf(900_000))).toEqual({
      Heard: 1,
      'Open alerts': 1,
      'Anomalies seen': 2,
      Times: 3,
      'Late or corrected': 67,
      'Against the contract': 1,
    })
    const later = { fromMs: influx.nowMs + 60_000, toMs: influx.nowMs + 90_000 }
    expect(await stripOf('tributary-vibration', 1, later)).toEqual({
      Heard: null,
      'Open alerts': null,
      'Anomalies seen': null,
      Times: null,
      'Late or corrected': null,
      'Against the contract': null,
    })
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
