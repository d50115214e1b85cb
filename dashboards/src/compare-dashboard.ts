/** The devices of a kind at a site beside each other: one field, overlaid, a chart a device, and by hour of the day. */
import { AxisPlacement, VisibilityMode } from '@grafana/grafana-foundation-sdk/common'
import { type Dashboard, DashboardLinkBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import {
  CellValuesBuilder,
  FilterValueRangeBuilder,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  PanelBuilder as HeatmapPanel,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap'
import { type Contract, type ContractField, kindUid } from '@tributary/protocol'
import { choice, dashboardFrame, devicesVariable, finished, linkTo, oneSiteVariable } from './dashboard-frame.ts'
import { band, bandEdge, fixedColour, holeMsMin, intervalText, isState, LINE, statePanel } from './field-panel.ts'
import { kindTitle, shownFields, titleOf, unitId } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { literal, SITE } from './influxql.ts'
import { isHealth, newestTable } from './newest-table.ts'
import { type PanelPlace, place, timeSeries } from './panels.ts'
import { extremesQuery, hoursQueries, meanQuery } from './reading-queries.ts'

const CHOSEN = `${SITE} AND "device" =~ /^$devices$/`
const PER_LINE = 4
/** Of the heat map, whatever the dashboard's range: fewer days show no habit. */
const DAYS = '14d'
/** Values below are not drawn: Grafana leaves out what is not above 0 when it is not told otherwise. */
const LOWEST = -1e300

/** Grafana takes at most 40 characters. */
export const compareUid = (kind: string): string => `compare-${kind.replaceAll('_', '-')}`.slice(0, 40)

type NumberField = Extract<ContractField, { type: 'float' | 'integer' }>

/** Numbers that go up and down; none of our own processes, which are compared in the dashboards of the pipeline. */
export const comparedFields = (contract: Contract): [name: string, field: NumberField][] =>
  isHealth(contract.kind)
    ? []
    : shownFields(contract).flatMap(([name, field]): [string, NumberField][] =>
        !isState(field) && 'role' in field === false ? [[name, field as NumberField]] : [],
      )

export function compareDashboard(contract: Contract): Dashboard {
  const { kind } = contract
  const title = `Compare: ${kindTitle(kind)}`
  const fields = comparedFields(contract)
  const dashboard = dashboardFrame({
    uid: compareUid(kind),
    title,
    description: `The devices of a site beside each other. ${contract.description}`,
    tag: 'compare',
  })
    .time({ from: 'now-6h', to: 'now' })
    .refresh('1m')
    .link(linkTo('Device', `/d/${kindUid(kind)}`))
    .withVariable(oneSiteVariable(kind))
    .withVariable(
      choice(
        'field',
        'Field',
        fields.map(([name, field]) => optionOf(contract, name, field)),
      ),
    )
    .withVariable(devicesVariable(kind))
    .withVariable(
      choice('midnight', 'Hours in', TIME_ZONES).description('Of the heat map: hours and days are in this time.'),
    )
  const deviceLink = `/d/${kindUid(kind)}?var-site=\${__data.fields.site}&var-device=\${__data.fields.device}&\${__url_time_range}`
  const names = shownFields(contract).map(([name]) => name)
  dashboard
    .withPanel(
      newestTable({ id: 1, title: 'Now', span: 24, height: 5 }, contract, names, {
        linkTo: deviceLink,
        siteOnly: true,
      }),
    )
    .withPanel(overlay({ id: 2, title: `\${field:text}: overlaid`, span: 24, height: 10 }, contract))
    .withPanel(oneOfMany(contract))
    .withPanel(hours(contract))
  shownFields(contract)
    .filter(([, field]) => field.type === 'boolean' || (field.type === 'string' && field.values !== undefined))
    .forEach(([name], i) => {
      dashboard.withPanel(
        statePanel({ id: 20 + i, title: titleOf(contract, name), span: 24, height: 5 }, contract, name, CHOSEN),
      )
    })
  return finished(dashboard)
}

/** A comma or a colon would end a name in Grafana's list. */
function optionOf(contract: Contract, name: string, { unit }: NumberField): { text: string; value: string } {
  const title = titleOf(contract, name)
  return { text: `${title}${unit ? ` in ${unit}` : ''}`.replace(/[,:]/g, ' '), value: name }
}

/** By the hour in UTC in which the day begins. Times of half hours are an hour's row off by that half. */
const TIME_ZONES = Array.from({ length: 24 }, (_, i) => {
  const offset = i <= 12 ? i : i - 24
  const text = offset === 0 ? 'UTC' : `UTC${offset > 0 ? '+' : '−'}${Math.abs(offset)}`
  return { text, value: String((24 - offset) % 24) }
})

/** Only the target of the field that is chosen answers: the comparison is constant. */
const when = (name: string): string => `'$field' = ${literal(name)}`

function overlay(at: PanelPlace, contract: Contract) {
  const fields = comparedFields(contract)
  const panel = timeSeries(at, {
    targets: fields.map(([name], i) =>
      influxQuery(refId(i), meanQuery(contract, name, { where: `${CHOSEN} AND ${when(name)}`, isEach: true }), {
        alias: '$tag_device',
      }),
    ),
    unit: 'none',
    interval: intervalText(contract.interval),
    holeMsMin: holeMsMin(contract),
  })
  fields.forEach(([, field], i) => void panel.overrideByQuery(refId(i), looksOf(field)))
  return panel
}

const refId = (i: number): string => `F${i + 1}`
const looksOf = ({ unit, decimals }: NumberField) => [
  { id: 'unit', value: unitId(unit) },
  { id: 'decimals', value: decimals },
]

/** The same band in each: so each has nearly the same scale, and where a device lies within the others is seen at once. */
function oneOfMany(contract: Contract) {
  const fields = comparedFields(contract)
  const all = (i: number) => `${refId(i)}all`
  const panel = timeSeries(
    {
      id: 3,
      title: `$devices: \${field:text}`,
      description: 'Line: the device. Grey: from the lowest to the highest of all devices of the site.',
      span: 24,
      height: 6,
    },
    {
      targets: fields.flatMap(([name], i) => [
        influxQuery(all(i), extremesQuery(contract, name, { where: `${SITE} AND ${when(name)}` }), { alias: '$col' }),
        influxQuery(refId(i), meanQuery(contract, name, { where: `${CHOSEN} AND ${when(name)}`, isEach: true }), {
          alias: '$tag_device',
        }),
      ]),
      unit: 'none',
      interval: intervalText(contract.interval),
      holeMsMin: holeMsMin(contract),
    },
  )
    .repeat('devices')
    .repeatDirection('h')
    .maxPerRow(PER_LINE)
    .links([
      new DashboardLinkBuilder('Device').url(
        `/d/${kindUid(contract.kind)}?var-site=$site&var-device=$devices&\${__url_time_range}`,
      ),
    ])
  fields.forEach(([, field], i) => {
    panel.overrideByQuery(refId(i), [...looksOf(field), fixedColour(LINE)]).overrideByQuery(all(i), looksOf(field))
  })
  return panel
    .overrideByName('highest of all', band('lowest of all', 'gray', 20))
    .overrideByName('lowest of all', bandEdge('gray'))
}

function hours(contract: Contract): HeatmapPanel {
  const at = {
    id: 4,
    title: `\${field:text}: by hour of the day`,
    description: 'A column a day, a row an hour of the day: the mean of the chosen devices, of windows of an hour.',
    span: 24,
    height: 12,
  }
  return place(new HeatmapPanel(), at)
    .targets(
      hoursQueries(contract.kind, `\${field}`, CHOSEN, `\${midnight}`).map((query, i) =>
        influxQuery(refId(i), query, { alias: '$col' }),
      ),
    )
    .timeFrom(DAYS)
    .interval('1h')
    .calculate(false)
    .color(new HeatmapColorOptionsBuilder().mode(HeatmapColorMode.Scheme).scheme('Viridis').steps(64).reverse(false))
    .filterValues(new FilterValueRangeBuilder().le(LOWEST))
    .cellValues(new CellValuesBuilder().decimals(2))
    .cellGap(1)
    .showValue(VisibilityMode.Never)
    .yAxis(new YAxisConfigBuilder().axisPlacement(AxisPlacement.Left).axisLabel('hour of the day').reverse(false))
    .showLegend()
}
