import type uPlot from 'uplot'
import { schemeColours, textColourOn } from '../../src/rendering/colour-scales.ts'
import type { FieldSettings, PanelJson } from '../../src/rendering/dashboard-json.ts'
import { type NamedSeries, shareOf, shown, spanOf } from '../../src/rendering/field-config.ts'
import { panelSeries } from '../../src/rendering/panel-data.ts'
import { localTime } from '../../src/rendering/time-range.ts'
import { timeAxis } from './chart-axes.ts'
import { chartFrame } from './chart-frame.ts'
import { element } from './dom.ts'
import type { PanelBody, PanelContext, PanelInput } from './panel-body.ts'
import { nameRows, rowAxis } from './row-axis.ts'

const FONT_SIZE = 11
const LABEL_PX_MIN = 13
const STEPS = 64
/** What Grafana leaves out unless it is told otherwise: cells without anything counted. */
const HIDDEN_UP_TO = 1e-9

interface Cells {
  readonly rows: readonly NamedSeries[]
  readonly widthMs: number
  readonly span: readonly [number, number]
  readonly colours: readonly string[]
  readonly settings: FieldSettings
  isShown(value: number): boolean
}

/** A row a series, a coloured cell a time; the first series stands at the bottom, as in Grafana. */
export function heatmapBody(container: HTMLElement, context: PanelContext): PanelBody {
  let input: PanelInput | undefined
  let cells: Cells | undefined
  const scale = element('div', { className: 'scale' })

  const frame = chartFrame(context, (chart, _, left, top) => {
    if (!input || !cells || input.panel.options?.tooltip?.mode === 'none') return undefined
    const { rows, widthMs } = cells
    const row = rows[Math.floor((top / chart.over.clientHeight) * rows.length)]
    const time = chart.posToVal(left, 'x')
    const at = row?.timesMs.findIndex((from) => time >= from && time < from + widthMs) ?? -1
    const value = row?.values[at]
    if (!row || typeof value !== 'number') return undefined
    const from = row.timesMs[at] as number
    return [
      { colour: cellColour(value, cells), name: row.name, value: text(value, cells, input) },
      { colour: 'transparent', name: 'until', value: localTime(from + widthMs) },
    ]
  })
  container.append(frame.root, scale)

  return {
    draw(next) {
      input = next
      const { panel, theme, range, answers } = next
      const { yAxis = {}, legend } = panel.options ?? {}
      const series = panelSeries(panel, answers).filter(({ values }) => values.some((v) => typeof v === 'number'))
      const rows = yAxis.reverse ? series : [...series].reverse()
      cells = cellsOf(rows, next)
      const times = [...new Set(rows.flatMap((row) => row.timesMs))].sort((a, b) => a - b)
      const names = rows.map((row) => row.name)
      frame.draw(JSON.stringify([theme, names]), [times, times.map(() => null)], range, () => ({
        scales: { y: { range: () => [0, Math.max(1, names.length)] } },
        axes: [timeAxis(theme), rowAxis(names, theme, yAxis.axisLabel)],
        series: [{}, { stroke: 'transparent' }],
        cursor: { points: { show: false } },
        hooks: {
          init: [(u) => nameRows(u, names)],
          drawClear: [(u) => input && cells && drawCells(u, cells, input)],
        },
      }))
      frame.root.setAttribute('aria-label', describe(panel, cells, next))
      drawScale(scale, cells, next)
      scale.hidden = legend?.show === false || rows.length === 0
      return rows.length > 0
    },
    destroy: () => frame.destroy(),
  }
}

function cellsOf(rows: readonly NamedSeries[], { panel, theme, intervalMs }: PanelInput): Cells {
  const { color = {}, filterValues, cellValues } = panel.options ?? {}
  const { scheme = 'Oranges', reverse = false, steps = STEPS, min, max } = color
  const le = filterValues?.le ?? HIDDEN_UP_TO
  const ge = filterValues?.ge ?? Number.POSITIVE_INFINITY
  const isShown = (value: number) => !(value <= le) && !(value >= ge)
  const values = rows.flatMap((row) => row.values).filter((v): v is number => typeof v === 'number' && isShown(v))
  const limits = { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }
  let widthMs = Number.POSITIVE_INFINITY
  for (const { timesMs } of rows)
    for (let i = 1; i < timesMs.length; i++)
      widthMs = Math.min(widthMs, (timesMs[i] as number) - (timesMs[i - 1] as number))
  return {
    rows,
    // One column alone is as wide as the query's interval.
    widthMs: Number.isFinite(widthMs) && widthMs > 0 ? widthMs : intervalMs,
    span: spanOf(limits, values),
    colours: schemeColours(scheme, { theme, reverse, steps }),
    settings: { ...panel.fieldConfig?.defaults, ...cellValues },
    isShown,
  }
}

const cellColour = (value: number, { span, colours }: Cells): string =>
  colours[Math.round(shareOf(value, span) * (colours.length - 1))] ?? 'transparent'

const text = (value: number, { settings }: Cells, { nowMs }: PanelInput): string => {
  const said = shown(value, settings, nowMs)
  return said.text + said.suffix
}

function drawCells(chart: uPlot, cells: Cells, input: PanelInput): void {
  const { ctx, bbox } = chart
  const { rows, widthMs } = cells
  const { cellGap = 1, showValue = 'never' } = input.panel.options ?? {}
  const ratio = devicePixelRatio
  const gap = cellGap * ratio
  const height = bbox.height / rows.length
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  ctx.font = `${FONT_SIZE * ratio}px "Inter Variable", system-ui, sans-serif`
  ctx.textBaseline = 'middle'
  ctx.textAlign = 'center'
  rows.forEach(({ timesMs, values }, i) => {
    const top = Math.round(bbox.top + height * i)
    const bottom = Math.round(bbox.top + height * (i + 1))
    timesMs.forEach((from, at) => {
      const value = values[at]
      if (typeof value !== 'number' || !cells.isShown(value)) return
      const left = Math.round(chart.valToPos(from, 'x', true))
      const right = Math.round(chart.valToPos(from + widthMs, 'x', true))
      ctx.fillStyle = cellColour(value, cells)
      ctx.fillRect(left, top, Math.max(1, right - left - gap), Math.max(1, bottom - top - gap))
      if (showValue !== 'auto') return
      const said = text(value, cells, input)
      if (ctx.measureText(said).width + 4 * ratio > right - left || bottom - top < LABEL_PX_MIN * ratio) return
      ctx.fillStyle = textColourOn(cellColour(value, cells))
      ctx.fillText(said, (left + right - gap) / 2, (top + bottom - gap) / 2)
    })
  })
  ctx.restore()
}

/** From little to much, with the values at its ends. */
function drawScale(root: HTMLElement, cells: Cells, input: PanelInput): void {
  const ramp = element('i', { aria: { hidden: 'true' } })
  const stops = cells.colours.filter((_, i) => i % 8 === 0 || i === cells.colours.length - 1)
  ramp.style.background = `linear-gradient(90deg, ${stops.join(', ')})`
  root.replaceChildren(
    element('span', {}, text(cells.span[0], cells, input)),
    ramp,
    element('span', {}, text(cells.span[1], cells, input)),
  )
}

const describe = (panel: PanelJson, cells: Cells, input: PanelInput): string =>
  cells.rows.length === 0
    ? `${panel.title ?? 'Heat map'}: no data`
    : `${panel.title ?? 'Heat map'}: ${cells.rows.length} rows, ${text(cells.span[0], cells, input)} to ${text(cells.span[1], cells, input)}`
