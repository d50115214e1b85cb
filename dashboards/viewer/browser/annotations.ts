import type { AnnotationJson } from '../../src/rendering/dashboard-json.ts'
import { tableOf } from '../../src/rendering/frames.ts'
import { fillQuery, type QueryContext } from '../../src/rendering/macros.ts'
import type { AnnotationEvent } from './panel-body.ts'
import type { Ask } from './queries.ts'

export type PlacedEvent = AnnotationEvent & { readonly panelIds: readonly number[] | undefined }

/** Events of all annotations; one that cannot be asked is left out, the panels say enough about a store that is down. */
export async function fetchAnnotations(
  annotations: readonly AnnotationJson[],
  ask: Ask,
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
        panelIds: filter && !filter.exclude ? filter.ids : undefined,
      }))
    }),
  )
  return all.flat().sort((a, b) => a.timeMs - b.timeMs)
}
