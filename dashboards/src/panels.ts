/** The panels that the dashboards are put together from, with the project's defaults. */

import type { PanelBuilder as BarGaugePanel } from '@grafana/grafana-foundation-sdk/bargauge'
import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import {
  AxisPlacement,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  LineInterpolation,
  ReduceDataOptionsBuilder,
  SortOrder,
  TimelineValueAlignment,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  type Threshold,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { PanelBuilder as HeatmapPanel } from '@grafana/grafana-foundation-sdk/heatmap'
import { PanelBuilder as StatPanel } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as StateTimelinePanel } from '@grafana/grafana-foundation-sdk/statetimeline'
import { PanelBuilder as TablePanel } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as TimeSeriesPanel } from '@grafana/grafana-foundation-sdk/timeseries'
import { GOOD, thresholds } from './field-style.ts'
import { DATASOURCE, influxQuery, refIdOf } from './influx-query.ts'

export interface PanelPlace {
  readonly id: number
  readonly title: string
  readonly description?: string
  /** Columns of 24. */
  readonly span: number
  /** Rows of 38 pixels. */
  readonly height: number
}

export const place = <
  P extends TimeSeriesPanel | StatPanel | TablePanel | StateTimelinePanel | BarGaugePanel | HeatmapPanel,
>(
  panel: P,
  at: PanelPlace,
): P => {
  panel.id(at.id).title(at.title).datasource(DATASOURCE).span(at.span).height(at.height)
  if (at.description) panel.description(at.description)
  return panel
}

export const fixed = (colour: string) => new FieldColorBuilder().mode(FieldColorModeId.Fixed).fixedColor(colour)

export interface TimeSeriesOptions {
  readonly targets: readonly Builder<Dataquery>[]
  readonly unit: string
  readonly decimals?: number
  /** Coloured bands; the first step is what lies below the others. */
  readonly bands?: Threshold[]
  readonly softMin?: number
  readonly softMax?: number
  /** What is counted, where the unit on the axis does not say it. */
  readonly axisLabel?: string
  readonly fillOpacity?: number
  /** Shortest `$__interval`, such as "1s": more often there is nothing to see. */
  readonly interval?: string
  /** A hole longer than this breaks the line. */
  readonly holeMsMin?: number
}

export function timeSeries(at: PanelPlace, options: TimeSeriesOptions): TimeSeriesPanel {
  const panel = place(new TimeSeriesPanel(), at)
    .targets([...options.targets])
    .unit(options.unit)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassic))
    .lineWidth(1.5)
    .lineInterpolation(LineInterpolation.Linear)
    .fillOpacity(options.fillOpacity ?? 0)
    .showPoints(VisibilityMode.Never)
    .pointSize(5)
    .axisPlacement(AxisPlacement.Auto)
    .axisLabel(options.axisLabel ?? '')
    .spanNulls(options.holeMsMin ?? true)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(['lastNotNull']),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.None))
  if (options.decimals !== undefined) panel.decimals(options.decimals)
  if (options.softMin !== undefined) panel.axisSoftMin(options.softMin)
  if (options.softMax !== undefined) panel.axisSoftMax(options.softMax)
  if (options.interval) panel.interval(options.interval)
  if (options.bands && options.bands.length > 1)
    panel
      .thresholds(thresholds(options.bands))
      .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.DashedAndArea))
  return panel
}

export interface StatOptions {
  readonly query: string
  readonly unit?: string
  readonly decimals?: number
  readonly steps: Threshold[]
  /** Shown when the query finds nothing. */
  readonly noValue?: string
  /** Words for numbers. */
  readonly mappings?: ValueMapping[]
  /** Which column, when it is not the value: `Time`. */
  readonly column?: 'Time'
  /** A sparkline behind the number; the query must answer with a series. */
  readonly sparkline?: boolean
  readonly interval?: string
}

export function stat(at: PanelPlace, options: StatOptions): StatPanel {
  const panel = place(new StatPanel(), at)
    .targets([influxQuery('A', options.query, { alias: at.title })])
    .unit(options.unit ?? 'short')
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .thresholds(thresholds(options.steps))
    .noValue(options.noValue ?? '–')
    .graphMode(options.sparkline ? BigValueGraphMode.Area : BigValueGraphMode.None)
    .colorMode(BigValueColorMode.Value)
    .justifyMode(BigValueJustifyMode.Auto)
    .textMode(BigValueTextMode.Value)
    .orientation(VizOrientation.Auto)
    .reduceOptions(
      new ReduceDataOptionsBuilder()
        .values(false)
        .calcs(['lastNotNull'])
        .fields(options.column ? `/^${options.column}$/` : ''),
    )
  if (options.mappings) panel.mappings(options.mappings)
  if (options.decimals !== undefined) panel.decimals(options.decimals)
  if (options.interval) panel.interval(options.interval)
  return panel
}

export interface Column {
  /** As the query names it: `Time`, a tag, or what stands behind AS. */
  readonly name: string
  readonly title?: string
  readonly unit?: string
  readonly decimals?: number
  readonly width?: number
  /** Colours of the text. */
  readonly steps?: Threshold[]
  readonly properties?: DynamicConfigValue[]
}

export interface TableOptions {
  /** Several: their rows below each other. */
  readonly query: string | readonly string[]
  /** In order; a column of the answer that is not listed is hidden. */
  readonly columns: readonly Column[]
  readonly hidden?: readonly string[]
  readonly noValue?: string
  /** By its title. */
  readonly sortedBy?: { readonly column: string; readonly desc: boolean }
  /** Instead of the dashboard's range, such as "24h". */
  readonly timeFrom?: string
}

export function table(at: PanelPlace, options: TableOptions): TablePanel {
  const titles = options.columns.map((c) => c.title ?? c.name)
  const queries = [options.query].flat()
  const panel = place(new TablePanel(), at)
    .targets(queries.map((query, i) => influxQuery(refIdOf(i), query, { format: 'table' })))
    .showHeader(true)
    .noValue(options.noValue ?? '–')
  if (queries.length > 1) panel.withTransformation({ id: 'merge', options: {} })
  panel.withTransformation({
    id: 'organize',
    options: {
      excludeByName: Object.fromEntries((options.hidden ?? []).map((name) => [name, true])),
      indexByName: Object.fromEntries(options.columns.map((c, i) => [c.name, i])),
      renameByName: Object.fromEntries(options.columns.filter((c) => c.title).map((c) => [c.name, c.title])),
    },
  })
  const { sortedBy } = options
  if (sortedBy)
    panel.withTransformation({
      id: 'sortBy',
      options: { fields: {}, sort: [{ field: sortedBy.column, desc: sortedBy.desc }] },
    })
  if (options.timeFrom) panel.timeFrom(options.timeFrom).hideTimeOverride(true)
  options.columns.forEach((column, i) => {
    const properties: DynamicConfigValue[] = [
      ...(column.unit === undefined ? [] : [{ id: 'unit', value: column.unit }]),
      ...(column.decimals === undefined ? [] : [{ id: 'decimals', value: column.decimals }]),
      ...(column.width === undefined ? [] : [{ id: 'custom.width', value: column.width }]),
      ...(column.steps && column.steps.length > 1
        ? [
            { id: 'custom.displayMode', value: 'color-text' },
            { id: 'thresholds', value: { mode: 'absolute', steps: column.steps } },
            { id: 'color', value: { mode: 'thresholds' } },
          ]
        : []),
      ...(column.properties ?? []),
    ]
    if (properties.length > 0) panel.overrideByName(titles[i] as string, properties)
  })
  return panel
}

/** States of a boolean or a string over time, a row a device. Short bars have no room for their word: the legend names the colours. */
export function stateTimeline(
  at: PanelPlace,
  options: {
    query: string
    interval: string
    mappings: Parameters<StateTimelinePanel['mappings']>[0]
    /** A hole longer than this is shown as one; without it a state lasts until the next. */
    holeMsMin?: number
  },
): StateTimelinePanel {
  return place(new StateTimelinePanel(), at)
    .targets([influxQuery('A', options.query, { alias: '$tag_device' })])
    .interval(options.interval)
    .mappings(options.mappings)
    .colorScheme(
      options.mappings.length > 0 ? fixed(GOOD) : new FieldColorBuilder().mode(FieldColorModeId.PaletteClassic),
    )
    .mergeValues(true)
    .showValue(VisibilityMode.Auto)
    .alignValue(TimelineValueAlignment.Left)
    .rowHeight(0.8)
    .lineWidth(0)
    .fillOpacity(75)
    .spanNulls(options.holeMsMin ?? true)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs([]),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Single).sort(SortOrder.None))
}

/** Of a column that links need, and readers do not. */
export const UNSEEN: DynamicConfigValue = { id: 'custom.hidden', value: true }

export const link = (title: string, url: string): DynamicConfigValue => ({
  id: 'links',
  value: [{ title, url, targetBlank: false }],
})
/** Text in colour by value: `{ firing: 'red' }`. */
export const coloured = (colours: Readonly<Record<string, string>>): DynamicConfigValue[] => [
  { id: 'custom.displayMode', value: 'color-text' },
  {
    id: 'mappings',
    value: [
      {
        type: 'value',
        options: Object.fromEntries(Object.entries(colours).map(([v, color], index) => [v, { text: v, color, index }])),
      },
    ],
  },
]
