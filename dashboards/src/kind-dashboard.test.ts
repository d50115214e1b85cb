import type { Contract, Contracts } from '@tributary/protocol'
import { beforeAll, describe, expect, it } from 'vitest'
import { compareDashboard, comparedFields } from './compare-dashboard.ts'
import { shownFields, titleOf, unitId } from './field-style.ts'
import { kindDashboard } from './kind-dashboard.ts'
import type { DashboardJson, PanelJson } from './rendering/dashboard-json.ts'
import { exampleContracts } from './testing.ts'

let contracts: Contracts
beforeAll(async () => {
  contracts = await exampleContracts()
})
const of = (kind: string) => contracts.get(kind) as Contract
const device = (kind: string) => kindDashboard(of(kind)) as unknown as DashboardJson
const compare = (kind: string) => compareDashboard(of(kind)) as unknown as DashboardJson
const panelOf = (dashboard: DashboardJson, title: string) =>
  dashboard.panels?.find((p) => p.title === title) as PanelJson
const all = (): DashboardJson[] => [
  ...[...contracts.keys()].map(device),
  ...[...contracts.values()].filter((c) => comparedFields(c).length > 0).map(({ kind }) => compare(kind)),
]

describe('a device', () => {
  it('has a panel for each field that has something to draw, of the right kind', () => {
    for (const contract of contracts.values())
      for (const [name, field] of shownFields(contract)) {
        const charts = device(contract.kind).panels?.filter(
          ({ type }) => type === 'timeseries' || type === 'state-timeline',
        )
        const panel = charts?.find(({ title }) => title === titleOf(contract, name))
        if (field.type === 'string' && field.values === undefined) expect(panel).toBeUndefined()
        else
          expect(panel?.type).toBe(field.type === 'float' || field.type === 'integer' ? 'timeseries' : 'state-timeline')
      }
  })

  it('is one: its variables are chained and let nobody choose several', () => {
    for (const { kind } of contracts.values()) {
      const [site, one] = device(kind).templating?.list ?? []
      expect([site, one].map((v) => [v?.name, v?.multi, v?.includeAll])).toEqual([
        ['site', false, false],
        ['device', false, false],
      ])
      expect(one?.query).toContain('$site')
    }
  })

  it('has the unit, the decimals and the limits of its contract, in the chart and on the scale', () => {
    const { fieldConfig } = panelOf(device('climate'), 'Temperature')
    expect(fieldConfig?.defaults).toMatchObject({ unit: 'celsius', decimals: 2 })
    const steps = fieldConfig?.defaults.thresholds?.steps.map(({ value }) => value)
    expect(steps).toEqual([null, -40, 2, 35, 45, 125])
    const gauge = panelOf(device('climate'), 'Beside the limits').fieldConfig?.overrides[0]
    expect(gauge?.matcher.options).toBe('Temperature (warning < 2, > 35, critical > 45)')
    expect(Object.fromEntries((gauge?.properties ?? []).map(({ id, value }) => [id, value]))).toMatchObject({
      unit: 'celsius',
      decimals: 2,
      thresholds: { steps: [{ color: 'purple' }, { value: -40 }, { value: 2 }, { value: 35 }, { value: 45 }, {}] },
    })
  })

  it('expects what its detectors learned, and of other fields nothing', () => {
    const queries = (kind: string, title: string) => JSON.stringify(panelOf(device(kind), title).targets)
    expect(queries('vibration', 'Bearing temperature')).toContain('vibration_expected')
    expect(queries('vibration', 'Speed')).not.toContain('_expected')
  })

  it('says that nothing was wrong with the data, where nothing was', () => {
    for (const { kind } of contracts.values())
      expect(
        panelOf(device(kind), 'Late, not sure of its time, against the contract').fieldConfig?.defaults.noValue,
      ).toMatch(/^Nothing late/)
  })

  it('is not in danger because nothing failed: limits of whole numbers begin at the next one', () => {
    const { fieldConfig } = panelOf(device('processor_health'), 'Receivers that take no notifications')
    expect(fieldConfig?.defaults.thresholds?.steps).toContainEqual({ value: 1, color: 'red' })
    const override = panelOf(device('processor_health'), 'Beside the limits').fieldConfig?.overrides.at(-1)
    expect(Object.fromEntries((override?.properties ?? []).map(({ id, value }) => [id, value]))).toMatchObject({
      min: 0,
      max: 2,
      thresholds: { steps: [{ color: 'purple' }, { value: 0, color: 'green' }, { value: 1, color: 'red' }, {}] },
    })
  })

  it('draws a counter as its rate, and its increase on an axis of its own', () => {
    const { fieldConfig } = panelOf(device('power'), 'Energy meter')
    expect(fieldConfig?.defaults).toMatchObject({ unit: 'watt', custom: { axisLabel: 'rate' } })
    const increase = fieldConfig?.overrides.find(({ matcher }) => matcher.options === 'increase')
    expect(Object.fromEntries((increase?.properties ?? []).map(({ id, value }) => [id, value]))).toMatchObject({
      unit: 'watth',
      'custom.axisPlacement': 'right',
      'custom.axisLabel': 'increase',
    })
  })
})

describe('devices compared', () => {
  it('are of kinds with numbers that can be, and not of our own processes', () => {
    expect(all().filter(({ tags }) => tags?.includes('compare')).length).toBe(4)
    expect(comparedFields(of('power')).map(([name]) => name)).not.toContain('energy_wh')
    expect(comparedFields(of('climate')).map(([name]) => name)).not.toContain('sequence')
  })

  it('have the unit of the field that is chosen, whichever that is', () => {
    for (const panel of compare('vibration').panels?.filter(({ type }) => type === 'timeseries') ?? [])
      for (const [name, field] of comparedFields(of('vibration'))) {
        const targets = panel.targets?.filter(({ query }) => query.includes(`'$field' = '${name}'`)) ?? []
        expect(targets.length).toBeGreaterThan(0)
        for (const { refId } of targets)
          expect(
            panel.fieldConfig?.overrides.find(({ matcher }) => matcher.options === refId)?.properties,
          ).toContainEqual({ id: 'unit', value: unitId(field.unit) })
      }
  })

  it('lead to the device, which leads back with site and time', () => {
    expect(kindDashboard(of('climate')).links?.find(({ title }) => title === 'Compare')).toMatchObject({
      url: '/d/compare-climate',
      keepTime: true,
      includeVars: true,
    })
    expect(panelOf(compare('climate'), `$devices: \${field:text}`)).toMatchObject({
      repeat: 'devices',
      links: [{ url: `/d/tributary-climate?var-site=$site&var-device=$devices&\${__url_time_range}` }],
    })
    // Of the same name, the one device would be all that is compared.
    expect(compare('climate').templating?.list?.map(({ name }) => name)).not.toContain('device')
  })
})

it('overrides name series that the queries of their panel give', () => {
  for (const { title, panels = [] } of all())
    for (const panel of panels.filter(({ type }) => type === 'timeseries' || type === 'bargauge')) {
      const queries = (panel.targets ?? []).map(({ query }) => query).join()
      const refIds = (panel.targets ?? []).map(({ refId }) => refId)
      const issues = panel.targets?.[0]?.alias === '$tag_issue'
      for (const { matcher, properties } of panel.fieldConfig?.overrides ?? []) {
        const below = properties.filter(({ id }) => id === 'custom.fillBelowTo').map(({ value }) => value)
        if (matcher.id === 'byFrameRefID') expect(refIds, `${title} / ${panel.title}`).toContain(matcher.options)
        else if (!issues)
          for (const name of [matcher.options, ...below])
            expect(queries, `${title} / ${panel.title}`).toContain(`AS "${name}"`)
      }
    }
})
