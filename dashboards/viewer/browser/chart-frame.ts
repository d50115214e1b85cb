/** A uPlot chart that fits its box, shares its crosshair, zooms by dragging and has a tooltip of its own. */
import uPlot from 'uplot'
import { localTime, type TimeRange } from '../../src/rendering/time-range.ts'
import { element } from './dom.ts'
import type { PanelContext } from './panel-body.ts'

export interface TooltipRow {
  readonly colour: string
  readonly name: string
  readonly value: string
}
export interface ChartFrame {
  readonly root: HTMLElement
  /** Makes the chart anew when `key` differs from before, else gives it new data. */
  draw(key: string, data: uPlot.AlignedData, range: TimeRange, options: () => Partial<uPlot.Options>): uPlot
  readonly chart: uPlot | undefined
  destroy(): void
}

const HEIGHT_MIN = 40

/** @param tooltipRows what the tooltip says at a position; undefined for no tooltip. */
export function chartFrame(
  context: PanelContext,
  tooltipRows: (chart: uPlot, index: number | null | undefined, left: number, top: number) => TooltipRow[] | undefined,
): ChartFrame {
  const tooltip = element('div', { className: 'tooltip', hidden: true })
  const plot = element('div', { className: 'plot' })
  const root = element('div', { className: 'chart' }, plot, tooltip)
  let chart: uPlot | undefined
  let drawnKey: string | undefined
  let range: TimeRange = { fromMs: 0, toMs: 1 }
  let isHovered = false

  root.addEventListener('pointerenter', () => {
    isHovered = true
  })
  root.addEventListener('pointerleave', () => {
    isHovered = false
    tooltip.hidden = true
  })
  const size = () => ({ width: Math.max(80, plot.clientWidth), height: Math.max(HEIGHT_MIN, plot.clientHeight) })
  const observer = new ResizeObserver(() => chart?.setSize(size()))
  observer.observe(plot)

  const showTooltip = (u: uPlot) => {
    const { left = -1, top = -1, idx } = u.cursor
    const rows = isHovered && left >= 0 ? tooltipRows(u, idx, left, top) : undefined
    tooltip.hidden = !rows || rows.length === 0
    if (!rows || tooltip.hidden) return
    const time = u.posToVal(left, 'x')
    tooltip.replaceChildren(
      element('div', { className: 'when' }, localTime(idx == null ? time : (u.data[0][idx] ?? time))),
      ...rows.map(({ colour, name, value }) => {
        const dot = element('i', {})
        dot.style.background = colour
        return element('div', { className: 'line' }, dot, element('span', {}, name), element('b', {}, value))
      }),
    )
    const x = u.over.offsetLeft + left
    const width = tooltip.offsetWidth
    const toLeft = x + width + 24 > root.clientWidth
    tooltip.style.left = `${Math.max(4, toLeft ? x - width - 14 : x + 14)}px`
    tooltip.style.top = `${Math.max(0, Math.min(u.over.offsetTop + top + 10, root.clientHeight - tooltip.offsetHeight))}px`
  }

  return {
    root,
    get chart() {
      return chart
    },
    draw(key, data, newRange, options) {
      range = newRange
      if (chart && key === drawnKey) {
        chart.setData(data, false)
        chart.setScale('x', { min: range.fromMs, max: range.toMs })
        return chart
      }
      chart?.destroy()
      drawnKey = key
      const given = options()
      chart = new uPlot(
        {
          ...size(),
          ms: 1,
          padding: [10, 22, 0, 0],
          legend: { show: false },
          series: [{}],
          ...given,
          scales: { x: { time: true, range: () => [range.fromMs, range.toMs] }, ...given.scales },
          cursor: {
            y: false,
            drag: { x: true, y: false, setScale: false },
            sync: { key: context.syncKey, scales: ['x', null] },
            points: { size: 7, width: 2 },
            ...given.cursor,
          },
          hooks: {
            ...given.hooks,
            setCursor: [showTooltip],
            setSelect: [
              (u) => {
                if (u.select.width < 4) return
                const fromMs = u.posToVal(u.select.left, 'x')
                const toMs = u.posToVal(u.select.left + u.select.width, 'x')
                u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
                context.onZoom({ fromMs, toMs })
              },
            ],
          },
        },
        data,
        plot,
      )
      return chart
    },
    destroy() {
      observer.disconnect()
      chart?.destroy()
      chart = undefined
    },
  }
}
