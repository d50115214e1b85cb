import type uPlot from 'uplot'
import { colourOf, faded, paletteColour, type Theme } from '../../src/rendering/colours.ts'
import { settingsOf, shown } from '../../src/rendering/field-config.ts'
import { aligned, lastNotNull, type Series, timeSeriesOf, withHoles } from '../../src/rendering/frames.ts'
import { drawThresholds, timeAxis, valueAxis, valueRange } from './chart-axes.ts'
import { chartFrame } from './chart-frame.ts'
import { element } from './dom.ts'
import type { AnnotationEvent, PanelBody, PanelContext, PanelInput } from './panel-body.ts'

const ANNOTATION_NEAR_PX = 7

export function timeSeriesBody(container: HTMLElement, context: PanelContext): PanelBody {
  let input: PanelInput | undefined
  let series: Series[] = []
  const hidden = new Set<string>()
  const legend = element('div', { className: 'legend' })

  const frame = chartFrame(context, (chart, index, left) => {
    if (!input) return undefined
    const { theme, nowMs } = input
    const near = input.annotations.filter((a) => Math.abs(chart.valToPos(a.timeMs, 'x') - left) < ANNOTATION_NEAR_PX)
    const noted = near.slice(0, 6).map((a) => ({
      colour: colourOf(a.colour, theme),
      name: [a.text, ...a.tags].filter(Boolean).join(' · '),
      value: '',
    }))
    if (index == null) return noted
    const values = series.flatMap((s, i) => {
      const value = chart.data[i + 1]?.[index]
      if (hidden.has(s.name) || value == null) return []
      const { text, suffix } = shown(value, settingsFor(s), nowMs)
      return [{ colour: colourFor(i, s, theme), name: s.name, value: text + suffix }]
    })
    return [...values, ...noted]
  })
  container.append(frame.root, legend)

  const settingsFor = (s: Series) => settingsOf(input?.panel.fieldConfig, [s.name])
  const colourFor = (index: number, s: Series, theme: Theme) => {
    const { color } = settingsFor(s)
    return color?.mode === 'fixed' && color.fixedColor ? colourOf(color.fixedColor, theme) : paletteColour(index, theme)
  }
  const choose = (name: string, keepOthers: boolean) => {
    const others = series.map((s) => s.name).filter((other) => other !== name)
    if (keepOthers) {
      if (!hidden.delete(name)) hidden.add(name)
    } else {
      const isAlone = others.every((other) => hidden.has(other)) && !hidden.has(name)
      hidden.clear()
      if (!isAlone) for (const other of others) hidden.add(other)
    }
    series.forEach((s, i) => {
      frame.chart?.setSeries(i + 1, { show: !hidden.has(s.name) })
    })
    drawLegend()
  }
  const drawLegend = () => {
    if (!input) return
    const { theme, nowMs, panel } = input
    const { showLegend = true, calcs = [] } = panel.options?.legend ?? {}
    legend.hidden = !showLegend
    const focused = (document.activeElement as HTMLElement | null)?.dataset['series']
    const hadFocus = legend.contains(document.activeElement)
    legend.replaceChildren(
      ...series.map((s, i) => {
        const last = lastNotNull(s)
        const { text, suffix } = shown(last, settingsFor(s), nowMs)
        const mark = element('i', {})
        mark.style.background = colourFor(i, s, theme)
        return element(
          'button',
          {
            type: 'button',
            title: 'Show only this; with Ctrl or Shift: show or hide this',
            data: { series: s.name },
            aria: { pressed: String(!hidden.has(s.name)) },
            on: { click: (event) => choose(s.name, event.ctrlKey || event.metaKey || event.shiftKey) },
          },
          mark,
          element('span', {}, s.name),
          calcs.includes('lastNotNull') && last !== null && element('b', {}, text + suffix),
        )
      }),
    )
    if (hadFocus) legend.querySelector<HTMLElement>(`[data-series=${JSON.stringify(focused)}]`)?.focus()
  }

  return {
    draw(next) {
      input = next
      const { panel, theme, range } = next
      series = (panel.targets ?? []).flatMap((target, i) =>
        next.answers[i] ? timeSeriesOf(next.answers[i], target.alias) : [],
      )
      series = series.filter((s) => s.values.some((v) => typeof v === 'number'))
      const settings = settingsOf(panel.fieldConfig, [])
      const custom = settings.custom ?? {}
      const { timesMs, columns } = aligned(series)
      const data = [
        timesMs,
        ...columns.map((c) => withHoles(timesMs, c, custom.spanNulls ?? false)),
      ] as uPlot.AlignedData
      const key = JSON.stringify([theme, series.map((s) => s.name)])
      frame.draw(key, data, range, () => ({
        axes: [timeAxis(theme), valueAxis(settings, theme)],
        scales: { y: { range: (_, low, high) => valueRange(low, high, custom) } },
        series: [
          {},
          ...series.map((s, i): uPlot.Series => {
            const stroke = colourFor(i, s, theme)
            const opacity = (custom.fillOpacity ?? 0) / 100
            return {
              label: s.name,
              stroke,
              width: custom.lineWidth ?? 1,
              ...(opacity > 0 ? { fill: faded(stroke, opacity) } : {}),
              points: { show: (u, seriesIndex) => isSparse(u, seriesIndex), size: 5 },
              show: !hidden.has(s.name),
            }
          }),
        ],
        hooks: {
          drawClear: [(u) => input && drawThresholds(u, settingsOf(input.panel.fieldConfig, []), input.theme)],
          draw: [(u) => input && drawAnnotations(u, input.annotations, input.theme)],
        },
      }))
      drawLegend()
      frame.root.setAttribute('role', 'img')
      frame.root.setAttribute('aria-label', describe(next, series, settingsFor))
      return series.length > 0
    },
    destroy: () => frame.destroy(),
  }
}

/** Single points would not be seen as a line. */
function isSparse(chart: uPlot, seriesIndex: number): boolean {
  const column = chart.data[seriesIndex] ?? []
  let count = 0
  for (const value of column) if (value != null && ++count > 2) return false
  return true
}

function describe(
  input: PanelInput,
  series: readonly Series[],
  settingsFor: (s: Series) => Parameters<typeof shown>[1],
) {
  const latest = series.map((s) => {
    const { text, suffix } = shown(lastNotNull(s), settingsFor(s), input.nowMs)
    return `${s.name} ${text}${suffix}`
  })
  return `${input.panel.title ?? 'Chart'}: ${latest.join(', ') || 'no data'}`
}

function drawAnnotations(chart: uPlot, events: readonly AnnotationEvent[], theme: Theme): void {
  const { ctx, bbox } = chart
  const ratio = devicePixelRatio
  ctx.save()
  for (const event of events) {
    const x = Math.round(chart.valToPos(event.timeMs, 'x', true)) + 0.5
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    const colour = colourOf(event.colour, theme)
    ctx.strokeStyle = faded(colour, 0.65)
    ctx.lineWidth = ratio
    ctx.setLineDash([3 * ratio, 3 * ratio])
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    ctx.fillStyle = colour
    ctx.beginPath()
    const base = bbox.top + bbox.height
    ctx.moveTo(x, base - 6 * ratio)
    ctx.lineTo(x - 4.5 * ratio, base + 1)
    ctx.lineTo(x + 4.5 * ratio, base + 1)
    ctx.fill()
  }
  ctx.restore()
}
