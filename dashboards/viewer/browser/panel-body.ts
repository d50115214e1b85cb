/** What every kind of panel offers, and what it is given to draw. */
import type { Theme } from '../../src/rendering/colours.ts'
import type { PanelJson } from '../../src/rendering/dashboard-json.ts'
import type { InfluxAnswer } from '../../src/rendering/frames.ts'
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
  /** One a target, in order. */
  readonly answers: readonly InfluxAnswer[]
  readonly range: TimeRange
  readonly rawRange: RawRange
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
  /** Charts with the same key share their crosshair. */
  readonly syncKey: string
  onZoom(range: TimeRange): void
}
