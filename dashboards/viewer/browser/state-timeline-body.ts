import type uPlot from 'uplot'
import { colourOf, paletteColour, type Theme } from '../../src/rendering/colours.ts'
import { settingsOf, shown } from '../../src/rendering/field-config.ts'
import { type Series, timeSeriesOf, type Value } from '../../src/rendering/frames.ts'
import { localTime } from '../../src/rendering/time-range.ts'
import { mutedColour, timeAxis } from './chart-axes.ts'
import { chartFrame } from './chart-frame.ts'
import type { PanelBody, PanelContext, PanelInput } from './panel-body.ts'

interface Span {
  readonly fromMs: number
  readonly toMs: number
  readonly value: Value
}
const ROW_SHARE = 0.72
const FONT_SIZE = 11

/** A row a series, a coloured bar for as long as a state lasted. */
export function stateTimelineBody(container: HTMLElement, context: PanelContext): PanelBody {
  let input: PanelInput | undefined
  let rows: { name: string; spans: Span[] }[] = []

  const frame = chartFrame(context, (chart, _, left, top) => {
    const row = rows[Math.floor((top / chart.over.clientHeight) * rows.length)]
    const time = chart.posToVal(left, 'x')
    const span = row?.spans.find((s) => time >= s.fromMs && time < s.toMs)
    if (!input || !row || !span) return undefined
    const { text, suffix, colour } = look(span.value, input)
    return [
      { colour, name: row.name, value: text + suffix },
      { colour: 'transparent', name: 'since', value: localTime(span.fromMs) },
    ]
  })
  container.append(frame.root)

  return {
    draw(next) {
      input = next
      const { panel, range, theme } = next
      const series = (panel.targets ?? []).flatMap((target, i) =>
        next.answers[i] ? timeSeriesOf(next.answers[i], target.alias) : [],
      )
      rows = series.map((s) => ({ name: s.name, spans: spansOf(s, Math.min(range.toMs, next.nowMs)) }))
      const key = JSON.stringify([theme, rows.map((r) => r.name)])
      const names = rows.map((r) => r.name)
      frame.draw(
        key,
        [
          [range.fromMs, range.toMs],
          [null, null],
        ],
        range,
        () => ({
          scales: { y: { range: () => [0, names.length] } },
          axes: [
            timeAxis(theme),
            {
              font: `${FONT_SIZE}px "Inter Variable", system-ui, sans-serif`,
              stroke: mutedColour(theme),
              grid: { show: false },
              ticks: { show: false },
              border: { show: false },
              gap: 8,
              size: Math.max(40, Math.max(0, ...names.map((n) => n.length)) * 6.3 + 20),
              splits: () => names.map((_, i) => names.length - i - 0.5),
              values: () => names,
            },
          ],
          series: [{}, { stroke: 'transparent' }],
          cursor: { points: { show: false } },
          hooks: { draw: [(u) => input && drawRows(u, rows, input)] },
        }),
      )
      frame.root.setAttribute('role', 'img')
      const latest = rows.map((r) => `${r.name} ${look(r.spans.at(-1)?.value ?? null, next).text}`)
      frame.root.setAttribute('aria-label', `${panel.title ?? 'States'}: ${latest.join(', ') || 'no data'}`)
      return rows.length > 0
    },
    destroy: () => frame.destroy(),
  }
}

/** Equal neighbours become one; a state lasts until the next, the last one until now. */
function spansOf({ timesMs, values }: Series, endMs: number): Span[] {
  const spans: { fromMs: number; toMs: number; value: Value }[] = []
  values.forEach((value, i) => {
    if (value === null) return
    const fromMs = timesMs[i] as number
    const last = spans.at(-1)
    if (last) last.toMs = fromMs
    if (last?.value !== value) spans.push({ fromMs, toMs: fromMs, value })
  })
  const last = spans.at(-1)
  if (last) last.toMs = Math.max(last.toMs, endMs)
  return spans
}

function look(value: Value, { panel, theme, nowMs }: PanelInput): { text: string; suffix: string; colour: string } {
  const { text, suffix, colour } = shown(value, settingsOf(panel.fieldConfig, []), nowMs)
  return { text, suffix, colour: colour ? colourOf(colour, theme) : fallbackColour(text, theme) }
}

/** A state without a colour gets one by its name, the same everywhere. */
const fallbackColour = (text: string, theme: Theme): string =>
  paletteColour(
    [...text].reduce((sum, character) => sum + character.charCodeAt(0), 0),
    theme,
  )

function drawRows(chart: uPlot, rows: readonly { spans: readonly Span[] }[], input: PanelInput): void {
  const { ctx, bbox } = chart
  const ratio = devicePixelRatio
  const rowHeight = bbox.height / rows.length
  const barHeight = Math.min(rowHeight * ROW_SHARE, 34 * ratio)
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  ctx.font = `600 ${FONT_SIZE * ratio}px "Inter Variable", system-ui, sans-serif`
  ctx.textBaseline = 'middle'
  ctx.textAlign = 'left'
  rows.forEach(({ spans }, i) => {
    const middle = bbox.top + rowHeight * (i + 0.5)
    for (const span of spans) {
      const left = Math.max(bbox.left, chart.valToPos(span.fromMs, 'x', true))
      const right = Math.min(bbox.left + bbox.width, chart.valToPos(span.toMs, 'x', true))
      if (right <= left) continue
      const { text, colour } = look(span.value, input)
      ctx.globalAlpha = input.theme === 'dark' ? 0.78 : 0.85
      ctx.fillStyle = colour
      ctx.beginPath()
      ctx.roundRect(left, middle - barHeight / 2, Math.max(1, right - left - ratio), barHeight, 3 * ratio)
      ctx.fill()
      ctx.globalAlpha = 1
      if (ctx.measureText(text).width + 14 * ratio < right - left) {
        ctx.fillStyle = input.theme === 'dark' ? '#0c1016' : '#ffffff'
        ctx.fillText(text, left + 7 * ratio, middle + ratio * 0.5)
      }
    }
  })
  ctx.restore()
}
