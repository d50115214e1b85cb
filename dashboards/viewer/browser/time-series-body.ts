import type uPlot from 'uplot'
import type { Theme } from '../../src/rendering/colours.ts'
import { type NamedSeries, shown } from '../../src/rendering/field-config.ts'
import { aligned, lastNotNull, withHoles } from '../../src/rendering/frames.ts'
import { panelSeries } from '../../src/rendering/panel-data.ts'
import { stacked } from '../../src/rendering/stacking.ts'
import { drawAnnotations, notedNear } from './annotations.ts'
import { drawThresholds } from './chart-axes.ts'
import { chartFrame, type TooltipRow } from './chart-frame.ts'
import { chartLegend } from './chart-legend.ts'
import { chartOptions, scaleKey, seriesColour, stackOf } from './chart-series.ts'
import { filledLinks, type PanelBody, type PanelContext, type PanelInput } from './panel-body.ts'

export function timeSeriesBody(container: HTMLElement, context: PanelContext): PanelBody {
  let input: PanelInput | undefined
  let series: NamedSeries[] = []
  /** As measured; what is drawn may be stacked. */
  let columns: (number | null | undefined)[][] = []
  const hidden = new Set<string>()
  const isHidden = ({ name, settings }: NamedSeries) => hidden.has(name) || Boolean(settings.custom?.hideFrom?.viz)

  const frame = chartFrame(context, (chart, index, left, top) => {
    if (!input) return undefined
    const noted = notedNear(input, chart, left)
    return index == null ? noted : [...valuesAt(chart, index, top, input), ...noted]
  })
  const valuesAt = (chart: uPlot, index: number, top: number, now: PanelInput): TooltipRow[] => {
    const { mode = 'multi', sort = 'none' } = now.panel.options?.tooltip ?? {}
    if (mode === 'none') return []
    const timeMs = chart.data[0][index]
    const found = series.flatMap((one, i) => {
      const value = columns[i]?.[index]
      if (isHidden(one) || one.settings.custom?.hideFrom?.tooltip || value == null) return []
      const { text, suffix } = shown(value, one.settings, now.nowMs)
      const about = { series: one, value: { raw: value, text: text + suffix, timeMs } }
      const links = filledLinks(one.settings.links, now, about)
      const drawnAt = chart.valToPos(chart.data[i + 1]?.[index] ?? value, scaleKey(one.settings))
      const row = { colour: seriesColour(i, one, now.theme), name: one.name, value: text + suffix, links }
      return [{ row, value, distance: Math.abs(drawnAt - top) }]
    })
    if (mode === 'single') found.sort((a, b) => a.distance - b.distance).splice(1)
    if (sort !== 'none') found.sort((a, b) => (sort === 'asc' ? a.value - b.value : b.value - a.value))
    return found.map(({ row }) => row)
  }
  const legend = chartLegend((name, keepOthers) => {
    const others = series.map((one) => one.name).filter((other) => other !== name)
    if (keepOthers) {
      if (!hidden.delete(name)) hidden.add(name)
    } else {
      const isAlone = others.every((other) => hidden.has(other)) && !hidden.has(name)
      hidden.clear()
      if (!isAlone) for (const other of others) hidden.add(other)
    }
    draw()
  })
  container.append(frame.root, legend.root)

  const draw = (): boolean => {
    if (!input) return false
    const { panel, theme, range, nowMs, answers } = input
    series = panelSeries(panel, answers).filter((one) => one.values.some((value) => typeof value === 'number'))
    const { timesMs, columns: raw } = aligned(series)
    columns = raw.map((column, i) => withHoles(timesMs, column, series[i]?.settings.custom?.spanNulls ?? false))
    const stack = stacked(columns, series.map(stackOf), (i) => isHidden(series[i] as NamedSeries))
    const key = JSON.stringify([
      theme,
      series.map((one) => [one.name, isHidden(one), seriesColour(0, one, theme)]),
      stack.below,
    ])
    // Before the chart: it takes the room that the chart does not get.
    legend.draw(
      series.map((one, i) => ({ series: one, colour: seriesColour(i, one, theme), isShown: !isHidden(one) })),
      panel.options?.legend,
      nowMs,
    )
    frame.draw(key, [timesMs, ...stack.columns] as uPlot.AlignedData, range, () => ({
      ...chartOptions({ series, below: stack.below, isHidden, theme }),
      hooks: {
        drawClear: [(u) => input && drawLimits(u, series, input.theme)],
        draw: [(u) => input && drawAnnotations(u, input.annotations, input.theme)],
      },
    }))
    frame.root.setAttribute('aria-label', describe(input, series))
    return series.length > 0
  }
  return {
    draw(next) {
      input = next
      return draw()
    },
    destroy: () => frame.destroy(),
  }
}

/** The thresholds of each scale, once. */
function drawLimits(chart: uPlot, series: readonly NamedSeries[], theme: Theme): void {
  const seen = new Set<string>()
  for (const { settings } of series) {
    const key = scaleKey(settings)
    if (seen.has(key)) continue
    seen.add(key)
    drawThresholds(chart, settings, theme, key)
  }
}

function describe({ panel, nowMs }: PanelInput, series: readonly NamedSeries[]): string {
  const latest = series.map((one) => {
    const { text, suffix } = shown(lastNotNull(one), one.settings, nowMs)
    return `${one.name} ${text}${suffix}`
  })
  return `${panel.title ?? 'Chart'}: ${latest.join(', ') || 'no data'}`
}
