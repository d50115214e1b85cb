/** How the series of a chart are drawn: scales, axes, lines, bars, points, bands between them. */
import uPlot from 'uplot'
import { colourOf, faded, paletteColour, type Theme } from '../../src/rendering/colours.ts'
import type { FieldCustom, FieldSettings } from '../../src/rendering/dashboard-json.ts'
import { type NamedSeries, valueColour } from '../../src/rendering/field-config.ts'
import { lastNotNull } from '../../src/rendering/frames.ts'
import { timeAxis, valueAxis, valueRange } from './chart-axes.ts'

const DASH_PX = [10, 10]
const DOT_PX = [2, 6]
const BAR_WIDTH_SHARE = 0.6
const BAR_PX_MAX = 100

export function seriesColour(index: number, { settings, values }: NamedSeries, theme: Theme): string {
  const { color } = settings
  if (color?.mode === 'fixed' && color.fixedColor) return colourOf(color.fixedColor, theme)
  // Colours by value: of the last one.
  return valueColour(lastNotNull({ values }), { ...settings, mappings: [] }, theme) ?? paletteColour(index, theme)
}

/** Series with the same key share a scale: unit, limits, side and label are alike, as in Grafana. */
export const scaleKey = ({ unit = '', min, max, custom = {} }: FieldSettings): string =>
  [unit, min, max, custom.axisSoftMin, custom.axisSoftMax, custom.axisPlacement ?? 'auto', custom.axisLabel ?? ''].join(
    '/',
  )

const isStacked = ({ settings }: NamedSeries) => settings.custom?.stacking?.mode === 'normal'
export const stackOf = (series: NamedSeries): string | undefined =>
  isStacked(series) ? `${series.settings.custom?.stacking?.group ?? ''}/${scaleKey(series.settings)}` : undefined

export interface ChartPlan {
  readonly series: readonly NamedSeries[]
  /** The index of the series that each stands on. */
  readonly below: readonly (number | undefined)[]
  readonly isHidden: (series: NamedSeries) => boolean
  readonly theme: Theme
}

export function chartOptions({ series, below, isHidden, theme }: ChartPlan): Partial<uPlot.Options> {
  const bySide = new Map<string, NamedSeries[]>()
  for (const one of series) bySide.set(scaleKey(one.settings), [...(bySide.get(scaleKey(one.settings)) ?? []), one])
  let hasLeft = false
  const axes: uPlot.Axis[] = [timeAxis(theme)]
  const scales: uPlot.Scales = {}
  for (const [key, members] of bySide) {
    const { settings } = members[0] as NamedSeries
    const fromZero = members.some((one) => isStacked(one) || one.settings.custom?.drawStyle === 'bars')
    scales[key] = { range: (_, low, high) => valueRange(low, high, settings, fromZero) }
    const { axisPlacement = 'auto' } = settings.custom ?? {}
    if (axisPlacement === 'hidden') {
      axes.push({ show: false, scale: key })
      continue
    }
    const isRight: boolean = axisPlacement === 'right' || (axisPlacement === 'auto' && hasLeft)
    hasLeft ||= !isRight
    axes.push({
      ...valueAxis(settings, theme, key),
      side: isRight ? 1 : 3,
      ...(axes.length > 1 ? { grid: { show: false } } : {}),
    })
  }
  // A chart needs one scale to have an area to draw in.
  if (series.length === 0) {
    scales['y'] = { range: () => [0, 1] }
    axes.push(valueAxis({}, theme, 'y'))
  }
  return {
    axes,
    scales,
    series: [{}, ...series.map((one, i) => drawn(one, seriesColour(i, one, theme), isHidden(one)))],
    bands: bandsOf(series, below, theme),
  }
}

function drawn({ name, settings }: NamedSeries, stroke: string, isHidden: boolean): uPlot.Series {
  const custom = settings.custom ?? {}
  const { drawStyle = 'line', fillOpacity = 0, showPoints = 'auto', pointSize = 5, lineWidth = 1 } = custom
  const isBand = custom.fillBelowTo !== undefined || custom.stacking?.mode === 'normal'
  return {
    label: name,
    scale: scaleKey(settings),
    stroke,
    width: drawStyle === 'points' ? 0 : lineWidth,
    dash: dashOf(custom.lineStyle),
    ...(fillOpacity > 0 && drawStyle !== 'points' && (!isBand || custom.fillBelowTo === undefined)
      ? { fill: faded(stroke, fillOpacity / 100) }
      : {}),
    paths: pathsOf(custom),
    points: {
      show:
        drawStyle === 'points' || showPoints === 'always' || (drawStyle === 'line' && lineWidth > 0 ? isSparse : false),
      size: pointSize,
      fill: stroke,
    },
    show: !isHidden,
  } as uPlot.Series
}

const dashOf = (style: FieldCustom['lineStyle']): number[] | undefined =>
  style?.fill === 'dash' || style?.fill === 'dot'
    ? [...(style.dash ?? (style.fill === 'dash' ? DASH_PX : DOT_PX))]
    : undefined

function pathsOf({ drawStyle, lineInterpolation }: FieldCustom): uPlot.Series.PathBuilder | undefined {
  const { bars, stepped, linear } = uPlot.paths
  if (drawStyle === 'points') return () => null
  if (drawStyle === 'bars') return bars?.({ size: [BAR_WIDTH_SHARE, BAR_PX_MAX] })
  if (lineInterpolation === 'stepAfter') return stepped?.({ align: 1 })
  if (lineInterpolation === 'stepBefore') return stepped?.({ align: -1 })
  return linear?.()
}

/** Single points would not be seen as a line. */
function isSparse(chart: uPlot, seriesIndex: number): boolean {
  const column = chart.data[seriesIndex] ?? []
  let count = 0
  for (const value of column) if (value != null && ++count > 2) return false
  return true
}

/** Areas between two series: down to the one named by `fillBelowTo`, or to the one that it is stacked on. */
function bandsOf(series: readonly NamedSeries[], below: readonly (number | undefined)[], theme: Theme): uPlot.Band[] {
  return series.flatMap((one, i) => {
    const { fillBelowTo, fillOpacity = 0 } = one.settings.custom ?? {}
    const lower = fillBelowTo === undefined ? (below[i] ?? -1) : series.findIndex((other) => other.name === fillBelowTo)
    if (lower < 0 || lower === i) return []
    return [
      { series: [i + 1, lower + 1], fill: faded(seriesColour(i, one, theme), fillOpacity / 100) } satisfies uPlot.Band,
    ]
  })
}
