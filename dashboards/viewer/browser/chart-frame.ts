/** A uPlot chart that fits its box, shares its crosshair, zooms by dragging, has a tooltip of its own and answers to keys. */
import uPlot from 'uplot'
import { localTime, type TimeRange } from '../../src/rendering/time-range.ts'
import { anchor, element, swatch } from './dom.ts'
import type { FilledLink, PanelContext } from './panel-body.ts'

export interface TooltipRow {
  readonly colour: string
  readonly name: string
  readonly value: string
  /** Offered when the reader clicks there. */
  readonly links?: readonly FilledLink[]
}
export interface ChartFrame {
  readonly root: HTMLElement
  /** Makes the chart anew when `key` differs from before, else gives it new data. */
  draw(key: string, data: uPlot.AlignedData, range: TimeRange, options: () => Partial<uPlot.Options>): uPlot
  readonly chart: uPlot | undefined
  destroy(): void
}

const HEIGHT_MIN = 40
const DRAG_PX_MIN = 4
const LINES_MAX = 24

/** @param tooltipRows what the tooltip says at a position; undefined for no tooltip. */
export function chartFrame(
  context: PanelContext,
  tooltipRows: (chart: uPlot, index: number | null | undefined, left: number, top: number) => TooltipRow[] | undefined,
): ChartFrame {
  const tooltip = element('div', { className: 'tooltip', hidden: true })
  const plot = element('div', { className: 'plot' })
  const root = element('div', { className: 'chart', tabIndex: 0, role: 'img' }, plot, tooltip)
  let chart: uPlot | undefined
  let drawnKey: string | undefined
  let range: TimeRange = { fromMs: 0, toMs: 1 }
  /** Pointed at, by hand or by keys; the others only follow with their crosshair. */
  let isPointedAt = false
  /** The tooltip stays where it is, and its links can be reached. */
  let isPinned = false

  const release = () => {
    isPinned = false
    tooltip.classList.remove('pinned')
    document.removeEventListener('pointerdown', onPointerElsewhere)
  }
  const leave = () => {
    release()
    isPointedAt = false
    tooltip.hidden = true
  }
  const onPointerElsewhere = (event: Event) => {
    if (!tooltip.contains(event.target as Node)) leave()
  }
  const pin = () => {
    if (tooltip.hidden || !tooltip.querySelector('a')) return
    isPinned = true
    tooltip.classList.add('pinned')
    tooltip.querySelector('a')?.focus()
    document.addEventListener('pointerdown', onPointerElsewhere)
  }
  root.addEventListener('pointermove', () => {
    isPointedAt = true
  })
  root.addEventListener('pointerleave', () => {
    if (!isPinned) leave()
  })
  root.addEventListener('blur', () => {
    if (!isPinned) leave()
  })
  root.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && (isPinned || isPointedAt)) {
      leave()
      putCursor(-10, -10)
      root.focus()
    } else if (event.key === 'Enter' && event.target === root) pin()
    else if (event.target !== root || !moveCursor(event.key, event.shiftKey)) return
    event.preventDefault()
  })
  /** Here and, as when pointing, in the charts that share it. */
  const putCursor = (left: number, top: number) => {
    const set = chart?.setCursor as
      | ((at: { left: number; top: number }, fire: boolean, publish: boolean) => void)
      | undefined
    set?.({ left, top }, true, true)
  }
  /** Arrow keys go from point to point, with Shift ten at once. */
  const moveCursor = (key: string, isFast: boolean): boolean => {
    const times = (chart?.data[0] ?? []).filter((time) => time >= range.fromMs && time <= range.toMs)
    const last = times.length - 1
    const now = chart?.cursor.idx == null ? -1 : times.indexOf(chart.data[0][chart.cursor.idx] as number)
    const at = now < 0 ? undefined : now
    const step = isFast ? 10 : 1
    const next = { ArrowLeft: (at ?? last + 1) - step, ArrowRight: (at ?? -1) + step, Home: 0, End: last }[key]
    if (!chart || next === undefined || last < 0) return false
    isPointedAt = true
    const time = times[Math.max(0, Math.min(last, next))] as number
    putCursor(chart.valToPos(time, 'x'), chart.over.clientHeight / 3)
    return true
  }
  const size = () => ({ width: Math.max(80, plot.clientWidth), height: Math.max(HEIGHT_MIN, plot.clientHeight) })
  const observer = new ResizeObserver(() => {
    const { width, height } = size()
    if (chart && (chart.width !== width || chart.height !== height)) chart.setSize({ width, height })
  })
  observer.observe(plot)

  const line = ({ colour, name, value, links = [] }: TooltipRow) => {
    return element(
      'div',
      { className: 'line' },
      swatch(colour),
      element('span', {}, name),
      element('b', {}, value),
      ...links.map((link) => anchor(link, link.title)),
    )
  }
  const showTooltip = (u: uPlot) => {
    if (isPinned) return
    const { left = -1, top = -1, idx } = u.cursor
    const rows = isPointedAt && left >= 0 ? tooltipRows(u, idx, left, top) : undefined
    tooltip.hidden = !rows || rows.length === 0
    if (!rows || tooltip.hidden) return
    const time = u.posToVal(left, 'x')
    const more = rows.length - LINES_MAX
    tooltip.replaceChildren(
      element('div', { className: 'when' }, localTime(idx == null ? time : (u.data[0][idx] ?? time))),
      ...rows.slice(0, LINES_MAX).map(line),
      ...(more > 0 ? [element('div', { className: 'when' }, `${more} more`)] : []),
      ...(rows.some(({ links }) => links?.length)
        ? [element('div', { className: 'when pin' }, 'Click or Enter: links')]
        : []),
    )
    const x = u.over.offsetLeft + left
    const width = tooltip.offsetWidth
    const toLeft = x + width + 24 > root.clientWidth
    tooltip.style.left = `${Math.max(4, toLeft ? x - width - 14 : x + 14)}px`
    tooltip.style.top = `${Math.max(0, Math.min(u.over.offsetTop + top + 10, root.clientHeight - tooltip.offsetHeight))}px`
  }
  const select = (u: uPlot) => {
    if (u.select.width < DRAG_PX_MIN) return
    const fromMs = u.posToVal(u.select.left, 'x')
    const toMs = u.posToVal(u.select.left + u.select.width, 'x')
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
    leave()
    context.onZoom({ fromMs, toMs })
  }
  plot.addEventListener('click', () => pin())

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
            ...(context.syncKey === undefined ? {} : { sync: { key: context.syncKey, scales: ['x', null] } }),
            points: { size: 7, width: 2 },
            ...given.cursor,
          },
          hooks: { ...given.hooks, setCursor: [showTooltip], setSelect: [select] },
        },
        data,
        plot,
      )
      return chart
    },
    destroy() {
      release()
      observer.disconnect()
      chart?.destroy()
      chart = undefined
    },
  }
}
