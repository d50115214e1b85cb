/** One field of one device over time, drawn as what it is: a number, a counter, a state. */
import {
  AxisPlacement,
  BarAlignment,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  StackingConfigBuilder,
  StackingMode,
  VizLegendOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import type { DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard'
import { type Contract, type ContractField, outlierSizeOf } from '@tributary/protocol'
import { rateUnit, stateMappings, thresholdSteps, unitId } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { literal, SITE_AND_DEVICE } from './influxql.ts'
import { type PanelPlace, stateTimeline, timeSeries } from './panels.ts'
import { counterIntervalMs, counterQuery, envelopeQuery, expectedQuery, stateQuery } from './reading-queries.ts'

/** A hole of so many intervals is one; less is jitter. */
const HOLE_INTERVALS = 5
/** `_expected` has a point a minute. */
const EXPECTED_HOLE_MS = 180_000
/** Narrower bars cannot be seen. */
const BARS_INTERVAL = '10s'

export const LINE = 'blue'
export const intervalText = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`)
export const holeMsMin = ({ interval }: Contract): number => interval * HOLE_INTERVALS
export const fixedColour = (fixedColor: string): DynamicConfigValue => ({
  id: 'color',
  value: { mode: 'fixed', fixedColor },
})
/** The lower edge of a band has its place in the legend with the upper one. */
export const LEGEND_HIDDEN: DynamicConfigValue = {
  id: 'custom.hideFrom',
  value: { legend: true, tooltip: false, viz: false },
}
/** A band between two series, in place of their lines. */
export const band = (to: string, colour: string, opacity: number): DynamicConfigValue[] => [
  { id: 'custom.fillBelowTo', value: to },
  { id: 'custom.fillOpacity', value: opacity },
  { id: 'custom.lineWidth', value: 0 },
  fixedColour(colour),
]
export const bandEdge = (colour: string): DynamicConfigValue[] => [
  { id: 'custom.lineWidth', value: 0 },
  fixedColour(colour),
  LEGEND_HIDDEN,
]

export const isState = ({ type }: ContractField): boolean => type === 'boolean' || type === 'string'
type NumberField = Extract<ContractField, { type: 'float' | 'integer' }>
export const isPercentage = ({ unit, range }: NumberField): boolean =>
  unit === '%' && range?.[0] === 0 && range[1] === 100

/** Nothing is on its axis below nothing. */
const isCount = ({ type, range }: NumberField): boolean => type === 'integer' && range?.[0] === 0

export function fieldPanel(at: PanelPlace, contract: Contract, name: string, field: ContractField) {
  if (field.type === 'boolean' || field.type === 'string') return statePanel(at, contract, name)
  return field.role === 'counter' ? counterPanel(at, contract, name, field) : numberPanel(at, contract, name, field)
}

/** States over time, a row a device. @param where which devices; the chosen one when left out */
export const statePanel = (at: PanelPlace, contract: Contract, name: string, where = SITE_AND_DEVICE) =>
  stateTimeline(at, {
    query: stateQuery(contract, name, { where, isEach: true }),
    interval: intervalText(contract.interval),
    mappings: stateMappings(contract, name),
    holeMsMin: holeMsMin(contract),
  })

/** The mean on top of what lies between the extremes, on top of what was expected. */
function numberPanel(at: PanelPlace, contract: Contract, name: string, field: NumberField) {
  const isExpected = outlierSizeOf(contract, name) !== undefined
  const expected = isExpected ? [influxQuery('A', expectedQuery(contract, name), { alias: '$col' })] : []
  const panel = timeSeries(at, {
    targets: [...expected, influxQuery('B', envelopeQuery(contract, name), { alias: '$col' })],
    interval: intervalText(contract.interval),
    holeMsMin: holeMsMin(contract),
    unit: unitId(field.unit),
    decimals: field.decimals,
    bands: thresholdSteps(contract, name, 'transparent'),
    ...(isPercentage(field) ? { softMin: 0, softMax: 100 } : isCount(field) ? { softMin: 0 } : {}),
  })
    .overrideByName('highest', band('lowest', LINE, 25))
    .overrideByName('lowest', bandEdge(LINE))
    .overrideByName('mean', [fixedColour(LINE)])
  const spanNulls = { id: 'custom.spanNulls', value: EXPECTED_HOLE_MS }
  if (isExpected)
    panel
      .overrideByName('expected at most', [...band('expected at least', 'gray', 20), spanNulls])
      .overrideByName('expected at least', [...bandEdge('gray'), spanNulls])
  return panel
}

function counterPanel(at: PanelPlace, contract: Contract, name: string, field: NumberField) {
  const { id, factor } = rateUnit(field.unit)
  const description = 'Line: growth a second. Bars: growth in each interval.'
  return timeSeries(
    { ...at, description },
    {
      targets: [influxQuery('A', counterQuery(contract, name, factor), { alias: '$col' })],
      interval: intervalText(counterIntervalMs(contract)),
      holeMsMin: holeMsMin(contract),
      unit: id,
      decimals: 1,
      softMin: 0,
    },
  )
    .axisLabel('rate')
    .overrideByName('rate', [fixedColour(LINE)])
    .overrideByName('increase', [
      { id: 'unit', value: unitId(field.unit) },
      { id: 'decimals', value: field.decimals },
      { id: 'custom.drawStyle', value: GraphDrawStyle.Bars },
      { id: 'custom.fillOpacity', value: 30 },
      { id: 'custom.lineWidth', value: 0 },
      { id: 'custom.axisPlacement', value: AxisPlacement.Right },
      { id: 'custom.axisLabel', value: 'increase' },
      fixedColour('gray'),
    ])
}

/** By issue, in the order in which they are to be worried about. */
const ISSUE_COLOURS = {
  late: 'gray',
  late_beyond_memory: 'blue',
  time_corrected: 'super-light-blue',
  time_estimated: 'yellow',
  time_untrusted: 'orange',
}

/** When samples came late, had a time that was not sure, or broke the contract. */
export function qualityPanel(at: PanelPlace, kind: string) {
  const query =
    `SELECT sum("samples") AS "samples" FROM "data_quality" WHERE $timeFilter AND ${SITE_AND_DEVICE} ` +
    `AND "kind" = ${literal(kind)} GROUP BY time($__interval), "issue" fill(null)`
  const panel = timeSeries(at, {
    targets: [influxQuery('A', query, { alias: '$tag_issue' })],
    unit: 'short',
    decimals: 0,
    softMin: 0,
    fillOpacity: 80,
    interval: BARS_INTERVAL,
  })
    .axisLabel('samples')
    // Bars are as wide as their interval only when each interval has its value, or none.
    .spanNulls(false)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(['sum']),
    )
    .drawStyle(GraphDrawStyle.Bars)
    .barAlignment(BarAlignment.Center)
    .lineWidth(0)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'))
    .noValue('Nothing late, no time that was not sure, nothing against the contract in this time range')
  for (const [issue, colour] of Object.entries(ISSUE_COLOURS)) panel.overrideByName(issue, [fixedColour(colour)])
  return panel
}
