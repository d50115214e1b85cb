/** Events over the charts: asked for once a round, drawn in each. */
import type uPlot from 'uplot'
import { colourOf, faded, type Theme } from '../../src/rendering/colours.ts'
import type { AnnotationJson } from '../../src/rendering/dashboard-json.ts'
import { type InfluxAnswer, tableOf } from '../../src/rendering/frames.ts'
import { fillQuery, type QueryContext } from '../../src/rendering/macros.ts'
import type { TooltipRow } from './chart-frame.ts'
import type { AnnotationEvent, PanelInput } from './panel-body.ts'

export type PlacedEvent = AnnotationEvent & { readonly isFor: (panelId: number) => boolean }

/** Events of all annotations; one that cannot be asked is left out, the panels say enough about a store that is down. */
export async function fetchAnnotations(
  annotations: readonly AnnotationJson[],
  ask: (query: string) => Promise<InfluxAnswer>,
  context: QueryContext,
): Promise<PlacedEvent[]> {
  const all = await Promise.all(
    annotations.map(async ({ target, name, iconColor, filter }): Promise<PlacedEvent[]> => {
      if (!target?.query) return []
      const answer = await ask(fillQuery(target.query, context)).catch(() => ({}))
      const { fields, rowCount } = tableOf(answer)
      const column = (title: string) => fields.find((f) => f.name === title)?.values
      const times = column('Time') ?? []
      const texts = column(target.textColumn ?? 'text') ?? []
      const tags = (target.tagsColumn ?? '').split(',').filter(Boolean)
      return Array.from({ length: rowCount }, (_, row) => ({
        timeMs: Number(times[row]),
        text: String(texts[row] ?? ''),
        tags: tags.map((tag) => String(column(tag)?.[row] ?? '')).filter(Boolean),
        colour: iconColor,
        name,
        isFor: (panelId) => !filter || filter.ids.includes(panelId) !== Boolean(filter.exclude),
      }))
    }),
  )
  return all.flat().sort((a, b) => a.timeMs - b.timeMs)
}

const NEAR_PX = 7
const NEAR_MAX = 6

/** What the tooltip says of those that the pointer is on. */
export const notedNear = ({ annotations, theme }: PanelInput, chart: uPlot, left: number): TooltipRow[] =>
  annotations
    .filter((event) => Math.abs(chart.valToPos(event.timeMs, 'x') - left) < NEAR_PX)
    .slice(0, NEAR_MAX)
    .map(({ colour, text, tags }) => ({
      colour: colourOf(colour, theme),
      name: [text, ...tags].filter(Boolean).join(' · '),
      value: '',
    }))

/** A dashed line with a mark at its foot for each. */
export function drawAnnotations(chart: uPlot, events: readonly AnnotationEvent[], theme: Theme): void {
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
