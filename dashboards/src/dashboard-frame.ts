/** What all dashboards have in common: variables, links, annotations, time settings. */
import {
  CustomVariableBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  type DashboardLink,
  DashboardLinkBuilder,
  DashboardLinkType,
  QueryVariableBuilder,
  TimePickerBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contracts } from '@tributary/protocol'
import { DATASOURCE } from './influx-query.ts'
import { identifier, SITE } from './influxql.ts'

/** Grafana 9.3's. Later versions migrate it to theirs; an earlier one does not understand a later number. */
const SCHEMA_VERSION = 37
const ALL = { text: ['All'], value: ['$__all'], selected: true }
const ALL_OPTION = { text: 'All', value: '$__all', selected: true }

export interface Frame {
  readonly uid: string
  readonly title: string
  readonly description: string
  /** Shown in the menu of dashboards by this. */
  readonly tag: 'overview' | 'devices' | 'compare' | 'health'
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
  // Links of panels are addresses alone; the SDK makes them of the class that links of dashboards have.
  for (const panel of dashboard.panels ?? [])
    if ('links' in panel && panel.links)
      panel.links = panel.links.map(({ title, url }) => ({ title, url }) as DashboardLink)
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
  tagVariable(
    'device',
    label,
    `SHOW TAG VALUES FROM ${measurements.map(identifier).join(', ')} WITH KEY = "device" WHERE ${SITE}`,
  )

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

/** One of them, the first when the address names none. */
const oneOf = (name: string, label: string, query: string) =>
  new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query(query)
    .definition(query)
    .multi(false)
    .includeAll(false)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)

export const oneSiteVariable = (measurement: string) =>
  oneOf('site', 'Site', `SHOW TAG VALUES FROM ${identifier(measurement)} WITH KEY = "site"`)

/** Chained: only what the site has. */
export const oneDeviceVariable = (measurement: string, label: string) =>
  oneOf('device', label, `SHOW TAG VALUES FROM ${identifier(measurement)} WITH KEY = "device" WHERE ${SITE}`)

/** Chained. Another name than `device`: a link from one device to all is not to choose that one. */
export const devicesVariable = (measurement: string) =>
  tagVariable('devices', 'Devices', `SHOW TAG VALUES FROM ${identifier(measurement)} WITH KEY = "device" WHERE ${SITE}`)

/** A choice among what is known beforehand; the first at first. */
export const choice = (name: string, label: string, options: readonly { text: string; value: string }[]) =>
  new CustomVariableBuilder(name)
    .label(label)
    .values(options.map(({ text, value }) => (text === value ? value : `${text} : ${value}`)).join(','))
    .options(options.map((option, i) => ({ ...option, selected: i === 0 })))
    .current({ ...(options[0] as { text: string; value: string }), selected: true })
    .multi(false)
    .includeAll(false)

/** A link on top of the dashboard, to which time and variables go along. */
export const linkTo = (title: string, url: string) =>
  new DashboardLinkBuilder(title).type(DashboardLinkType.Link).url(url).keepTime(true).includeVars(true)
