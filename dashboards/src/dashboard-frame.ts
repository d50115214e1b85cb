/** What all dashboards have in common: variables, links, annotations, time settings. */
import {
  CustomVariableBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  QueryVariableBuilder,
  TimePickerBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contracts } from '@tributary/protocol'
import { DATASOURCE } from './influx-query.ts'
import { AGGREGATES, identifier, SITE } from './influxql.ts'

/** Grafana 9.3's. Later versions migrate it to theirs; an earlier one does not understand a later number. */
const SCHEMA_VERSION = 37
const ALL = { text: ['All'], value: ['$__all'], selected: true }
const ALL_OPTION = { text: 'All', value: '$__all', selected: true }

export interface Frame {
  readonly uid: string
  readonly title: string
  readonly description: string
  /** Shown in the menu of dashboards by this. */
  readonly tag: 'overview' | 'devices' | 'health'
}

export function dashboardFrame({ uid, title, description, tag }: Frame): DashboardBuilder {
  return new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['tributary', tag])
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-15m', to: 'now' })
    .timepicker(new TimePickerBuilder().refreshIntervals(['5s', '10s', '30s', '1m', '5m', '15m', '1h']))
    .refresh('5s')
    .link(
      new DashboardLinkBuilder('Dashboards')
        .type(DashboardLinkType.Dashboards)
        .tags(['tributary'])
        .asDropdown(true)
        .keepTime(true),
    )
}

/** What a browser or Grafana loads: plain data in a fixed order. */
export function finished(builder: DashboardBuilder): Dashboard {
  const dashboard = JSON.parse(JSON.stringify(builder.build())) as Dashboard
  // The SDK moves links into a menu that versions before 12 do not have.
  for (const link of dashboard.links ?? []) delete link.placement
  return { ...dashboard, id: null, schemaVersion: SCHEMA_VERSION, version: 1 }
}

const tagVariable = (name: string, label: string, query: string) =>
  new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query(query)
    .definition(query)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current(ALL)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)

export const siteVariable = (measurement: string) =>
  tagVariable('site', 'Site', `SHOW TAG VALUES FROM ${identifier(measurement)} WITH KEY = "site"`)

/** Of several measurements: devices of each. */
export const deviceOfVariable = (measurements: readonly string[], label: string) =>
  tagVariable('device', label, `SHOW TAG VALUES FROM /^(${measurements.join('|')})$/ WITH KEY = "device" WHERE ${SITE}`)

/** Of all contracts, whether there is data of them or not. */
export const kindVariable = (contracts: Contracts) => {
  const kinds = [...contracts.keys()].sort()
  return new CustomVariableBuilder('kind')
    .label('Kind')
    .values(kinds.join(','))
    .options([ALL_OPTION, ...kinds.map((kind) => ({ text: kind, value: kind, selected: false }))])
    .current(ALL)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
}

/** Chained: only what the selected sites have. */
export const deviceVariable = (measurement: string, label: string) =>
  tagVariable('device', label, `SHOW TAG VALUES FROM ${identifier(measurement)} WITH KEY = "device" WHERE ${SITE}`)

/** Mean, or the extremes that a mean hides. */
export const aggregateVariable = () =>
  new CustomVariableBuilder('aggregate')
    .label('Show')
    .description('Of all readings that fall into one point of a chart')
    .values(AGGREGATES.join(','))
    .options(AGGREGATES.map((value, i) => ({ text: value, value, selected: i === 0 })))
    .current({ text: AGGREGATES[0], value: AGGREGATES[0], selected: true })
    .multi(false)
    .includeAll(false)
