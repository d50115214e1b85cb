/** What every kind of panel offers, and what it is given to draw. */
import type { Theme } from '../../src/rendering/colours.ts'
import type { FieldSettings, PanelJson } from '../../src/rendering/dashboard-json.ts'
import type { InfluxAnswer } from '../../src/rendering/frames.ts'
import { fillLink, isSafeUrl, type LinkContext } from '../../src/rendering/links.ts'
import type { SelectedVariable } from '../../src/rendering/macros.ts'
import type { RawRange, TimeRange } from '../../src/rendering/time-range.ts'

export interface AnnotationEvent {
  readonly timeMs: number
  readonly text: string
  readonly tags: readonly string[]
  readonly colour: string
  readonly name: string
}

export interface PanelInput {
  readonly panel: PanelJson
  /** One a target that is asked, in order. */
  readonly answers: readonly InfluxAnswer[]
  readonly range: TimeRange
  readonly rawRange: RawRange
  /** `$__interval` of the queries. */
  readonly intervalMs: number
  readonly nowMs: number
  readonly theme: Theme
  readonly variables: readonly SelectedVariable[]
  readonly annotations: readonly AnnotationEvent[]
}

export interface PanelBody {
  /** @returns false when there is nothing to see */
  draw(input: PanelInput): boolean
  destroy(): void
}

export interface PanelContext {
  /** Charts with the same key share their crosshair; undefined: each has its own. */
  readonly syncKey: string | undefined
  onZoom(range: TimeRange): void
}

export interface FilledLink {
  readonly title: string
  readonly href: string
  readonly isNewPage: boolean
}

/** Links that may be followed, with everything filled in. */
export function filledLinks(
  links: FieldSettings['links'],
  { rawRange, variables }: Pick<PanelInput, 'rawRange' | 'variables'>,
  about: Omit<LinkContext, 'rawRange' | 'variables'> = {},
): FilledLink[] {
  return (links ?? [])
    .map(({ title, url, targetBlank = false }) => ({
      title,
      href: fillLink(url, { rawRange, variables, ...about }),
      isNewPage: targetBlank,
    }))
    .filter(({ href }) => isSafeUrl(href))
}
