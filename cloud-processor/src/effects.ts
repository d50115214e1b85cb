/** What steps ask the shell to do. */
import type { DeadLetter } from '@tributary/protocol'
import type { AlertTransition } from './alerts/index.ts'
import type { LetterOrigin } from './dead-letter.ts'
import { LineBuffer } from './line-protocol.ts'
import type { SchemaDrift } from './shape.ts'
import type { RecordedAnomaly } from './state.ts'

/** What several steps ask the shell to do. The shell empties it when that is done. */
export interface Effects {
  /** For the default retention policy. Origins index `origins`. */
  readonly lines: LineBuffer
  /** For the rollup retention policy. */
  readonly rollups: LineBuffer
  readonly origins: LetterOrigin[]
  readonly deadLetters: DeadLetter[]
  readonly anomalies: RecordedAnomaly[]
  readonly drifts: SchemaDrift[]
  readonly transitions: AlertTransition[]
  /** Event times of a sample of each live block: what latency is measured with. */
  readonly sampleTimesMs: number[]
}

export const createEffects = (): Effects => ({
  lines: new LineBuffer(),
  rollups: new LineBuffer(),
  origins: [],
  deadLetters: [],
  anomalies: [],
  drifts: [],
  transitions: [],
  sampleTimesMs: [],
})

export function clearEffects(effects: Effects): void {
  effects.lines.clear()
  effects.rollups.clear()
  for (const list of [
    effects.origins,
    effects.deadLetters,
    effects.anomalies,
    effects.drifts,
    effects.transitions,
    effects.sampleTimesMs,
  ])
    list.length = 0
}
