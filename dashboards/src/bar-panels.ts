/** How much of what: bars over time, one upon the other, and bars beside each other. */
import { PanelBuilder as BarGaugePanel } from '@grafana/grafana-foundation-sdk/bargauge'
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import {
  BarGaugeDisplayMode,
  BarGaugeValueMode,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  VizLegendOptionsBuilder,
  VizOrientation,
} from '@grafana/grafana-foundation-sdk/common'
import { FieldColorBuilder, FieldColorModeId, type Threshold } from '@grafana/grafana-foundation-sdk/dashboard'
import { thresholds } from './field-style.ts'
import { type PanelPlace, place, timeSeries } from './panels.ts'

export interface BarsOptions {
  readonly targets: readonly Builder<Dataquery>[]
  /** What is counted. */
  readonly axisLabel: string
  /** Shortest bar, such as "1m". */
  readonly interval: string
  readonly unit?: string
  /** Instead of the dashboard's range, such as "30d". */
  readonly timeFrom?: string
  readonly noValue?: string
  readonly bands?: Threshold[]
}

/** More bars than these are hairs. */
const BARS_MAX = 60

/** A bar an interval, of all series together; the legend has their sums. Their query fills what is absent with 0: bars are as wide as the steps between points. */
export function bars(
  at: PanelPlace,
  { targets, axisLabel, interval, unit = 'short', timeFrom, noValue, bands }: BarsOptions,
) {
  const panel = timeSeries(at, {
    targets,
    unit,
    decimals: 0,
    softMin: 0,
    axisLabel,
    interval,
    ...(bands ? { bands } : {}),
  })
    .maxDataPoints(BARS_MAX)
    .drawStyle(GraphDrawStyle.Bars)
    .lineWidth(0)
    .fillOpacity(80)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'))
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(['sum']),
    )
  if (noValue !== undefined) panel.noValue(noValue)
  return timeFrom === undefined ? panel : panel.timeFrom(timeFrom)
}

/** A bar a series, with its last value; the query must answer with one. */
export function barGauge(at: PanelPlace, targets: readonly Builder<Dataquery>[], noValue: string) {
  return place(new BarGaugePanel(), at)
    .targets([...targets])
    .unit('short')
    .decimals(0)
    .min(0)
    .noValue(noValue)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Fixed).fixedColor('blue'))
    .thresholds(thresholds([{ value: null, color: 'blue' }]))
    .displayMode(BarGaugeDisplayMode.Basic)
    .valueMode(BarGaugeValueMode.Text)
    .orientation(VizOrientation.Horizontal)
    .showUnfilled(false)
    .reduceOptions(new ReduceDataOptionsBuilder().values(false).calcs(['lastNotNull']).fields(''))
}
