import type uPlot from 'uplot'
import { textColourOn } from '../../src/rendering/colour-scales.ts'
import { colourOf, paletteColour, type Theme } from '../../src/rendering/colours.ts'
import { type NamedSeries, shown, valueColour } from '../../src/rendering/field-config.ts'
import { type Value, withGaps } from '../../src/rendering/frames.ts'
import { panelSeries } from '../../src/rendering/panel-data.ts'
import { localTime } from '../../src/rendering/time-range.ts'
import { mappingOf } from '../../src/rendering/value-mappings.ts'
import { drawAnnotations, notedNear } from './annotations.ts'
import { timeAxis } from './chart-axes.ts'
import { chartFrame } from './chart-frame.ts'
import { element, swatch } from './dom.ts'
import type { PanelBody, PanelContext, PanelInput } from './panel-body.ts'
import { nameRows, rowAxis } from './row-axis.ts'

interface Span {
  readonly fromMs: number
  readonly toMs: number
  readonly value: Value
}
interface Row {
  readonly series: NamedSeries
  readonly spans: readonly Span[]
}
interface Look {
  readonly text: string
  readonly colour: string
}
const ROW_SHARE = 0.8
const BAR_PX_MAX = 34
const FONT_SIZE = 11
/** More states than these are texts rather than states. */
const LEGEND_ITEMS_MAX = 12

/** A row a series, a coloured bar for as long as a state lasted. */
export function stateTimelineBody(container: HTMLElement, context: PanelContext): PanelBody {
  let input: PanelInput | undefined
  let rows: Row[] = []

  const frame = chartFrame(context, (chart, _, left, top) => {
    const noted = input ? notedNear(input, chart, left) : []
    const row = rows[Math.floor((top / chart.over.clientHeight) * rows.length)]
    const time = chart.posToVal(left, 'x')
    const span = row?.spans.find((s) => time >= s.fromMs && time < s.toMs)
    if (!input || !row || !span) return noted
    const { text, colour } = look(span.value, row.series, input)
    return [
      { colour, name: row.series.name, value: text },
      { colour: 'transparent', name: 'since', value: localTime(span.fromMs) },
      ...noted,
    ]
  })
  const legend = element('div', { className: 'legend' })
  container.append(frame.root, legend)

  return {
    draw(next) {
      input = next
      const { panel, range, theme } = next
      const endMs = Math.min(range.toMs, next.nowMs)
      rows = panelSeries(panel, next.answers)
        .filter(({ settings }) => !settings.custom?.hideFrom?.viz)
        .map((series) => ({ series, spans: spansOf(series, endMs, next) }))
      const names = rows.map((row) => row.series.name)
      // Points at which a state begins: what the arrow keys go along.
      const times = [...new Set(rows.flatMap((row) => row.spans.map((span) => span.fromMs)))].sort((x, y) => x - y)
      const key = JSON.stringify([theme, names])
      frame.draw(key, [times, times.map(() => null)], range, () => ({
        scales: { y: { range: () => [0, names.length] } },
        axes: [timeAxis(theme), rowAxis(names, theme)],
        series: [{}, { stroke: 'transparent' }],
        cursor: { points: { show: false } },
        hooks: {
          init: [(u) => nameRows(u, names)],
          draw: [
            (u) => input && drawRows(u, rows, input),
            (u) => input && drawAnnotations(u, input.annotations, input.theme),
          ],
        },
      }))
      legend.hidden = panel.options?.legend?.showLegend === false
      const items = looksOf(rows, next).map(({ text, colour }) =>
        element('span', { className: 'item' }, swatch(colour), text),
      )
      legend.replaceChildren(...items)
      const latest = rows.map(
        ({ series, spans }) => `${series.name} ${look(spans.at(-1)?.value ?? null, series, next).text}`,
      )
      frame.root.setAttribute('aria-label', `${panel.title ?? 'States'}: ${latest.join(', ') || 'no data'}`)
      return rows.some(({ spans }) => spans.length > 0)
    },
    destroy: () => frame.destroy(),
  }
}

/**
 * Neighbours that look the same become one; a state lasts until the next, the last one until now. Nothing is a gap, unless a mapping gives
 * nothing a name: then it is a state.
 */
function spansOf(series: NamedSeries, endMs: number, input: PanelInput): Span[] {
  const { timesMs, values, settings } = series
  const mergeValues = input.panel.options?.mergeValues ?? true
  const isSame = (a: Value, b: Value) => a === b || look(a, series, input).text === look(b, series, input).text
  const isNothingAState = mappingOf(settings.mappings ?? [], null) !== undefined
  const spans: { fromMs: number; toMs: number; value: Value }[] = []
  let isOpen = false
  withGaps(timesMs, values, settings.custom?.spanNulls ?? false).forEach((value, i) => {
    if (value === undefined) return
    const fromMs = timesMs[i] as number
    const last = spans.at(-1)
    if (last && isOpen) last.toMs = fromMs
    const isGap = value === null && !isNothingAState
    if (!isGap && !(isOpen && mergeValues && last && isSame(last.value, value)))
      spans.push({ fromMs, toMs: fromMs, value })
    isOpen = !isGap
  })
  const last = spans.at(-1)
  if (last && isOpen) last.toMs = Math.max(last.toMs, endMs)
  return spans
}

function look(value: Value, { settings }: NamedSeries, { theme, nowMs }: PanelInput): Look {
  const { text, suffix } = shown(value, settings, nowMs)
  const { color } = settings
  const fixed = color?.mode === 'fixed' && color.fixedColor ? colourOf(color.fixedColor, theme) : undefined
  return { text: text + suffix, colour: valueColour(value, settings, theme) ?? fixed ?? fallbackColour(text, theme) }
}

/** Each state once. */
function looksOf(rows: readonly Row[], input: PanelInput): Look[] {
  const looks = rows.flatMap(({ series, spans }) => spans.map(({ value }) => look(value, series, input)))
  return [...new Map(looks.map((one) => [one.text, one])).values()].slice(0, LEGEND_ITEMS_MAX)
}

/** A state without a colour gets one by its name, the same everywhere. */
const fallbackColour = (text: string, theme: Theme): string =>
  paletteColour(
    [...text].reduce((sum, character) => sum + character.charCodeAt(0), 0),
    theme,
  )

function drawRows(chart: uPlot, rows: readonly Row[], input: PanelInput): void {
  const { ctx, bbox } = chart
  const ratio = devicePixelRatio
  const { rowHeight: share = ROW_SHARE, showValue = 'auto' } = input.panel.options ?? {}
  const rowHeight = bbox.height / rows.length
  const barHeight = Math.min(rowHeight * share, BAR_PX_MAX * ratio)
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  ctx.font = `600 ${FONT_SIZE * ratio}px "Inter Variable", system-ui, sans-serif`
  ctx.textBaseline = 'middle'
  ctx.textAlign = 'left'
  rows.forEach(({ series, spans }, i) => {
    const middle = bbox.top + rowHeight * (i + 0.5)
    for (const span of spans) {
      const left = Math.max(bbox.left, chart.valToPos(span.fromMs, 'x', true))
      const right = Math.min(bbox.left + bbox.width, chart.valToPos(span.toMs, 'x', true))
      if (right <= left) continue
      const { text, colour } = look(span.value, series, input)
      ctx.fillStyle = colour
      ctx.beginPath()
      ctx.roundRect(left, middle - barHeight / 2, Math.max(1, right - left - ratio), barHeight, 3 * ratio)
      ctx.fill()
      const fits = barHeight > FONT_SIZE * ratio && ctx.measureText(text).width + 14 * ratio < right - left
      if (showValue === 'always' || (showValue === 'auto' && fits)) {
        ctx.fillStyle = textColourOn(colour)
        ctx.fillText(text, left + 7 * ratio, middle + ratio * 0.5)
      }
    }
  })
  ctx.restore()
}
