/** What steps ask the shell to do. */
import type { DeadLetter, LetterSettlement, OperatorAnswer } from '@tributary/protocol'
import type { AlertTransition } from './alerts/index.ts'
import type { LetterOrigin } from './dead-letter.ts'
import { LineBuffer } from './line-protocol.ts'
import type { SchemaDrift } from './shape.ts'
import type { RecordedAnomaly } from './state.ts'

/** What became of a request to requeue or drop a letter; the store may still refuse what is counted as stored. */
export type Settlement = { -readonly [K in keyof LetterSettlement]: LetterSettlement[K] } & { readonly agent: string }

/** What several steps ask the shell to do. The shell empties it when that is done. */
export interface Effects {
  /** For the default retention policy. Origins index `origins`. */
  readonly lines: LineBuffer
  /** For the rollup retention policy. */
  readonly rollups: LineBuffer
  readonly origins: LetterOrigin[]
  readonly deadLetters: DeadLetter[]
  readonly settlements: Settlement[]
  readonly anomalies: RecordedAnomaly[]
  readonly drifts: SchemaDrift[]
  readonly transitions: AlertTransition[]
  /** To requests of operators. */
  readonly answers: Omit<OperatorAnswer, 'partition'>[]
  /** Event times of a sample of each live block: what latency is measured with. */
  readonly sampleTimesMs: number[]
  /** When the stream received each live batch. */
  readonly receivedTimesMs: number[]
}

export const createEffects = (): Effects => ({
  lines: new LineBuffer(),
  rollups: new LineBuffer(),
  origins: [],
  deadLetters: [],
  settlements: [],
  anomalies: [],
  drifts: [],
  transitions: [],
  answers: [],
  sampleTimesMs: [],
  receivedTimesMs: [],
})

export function clearEffects(effects: Effects): void {
  effects.lines.clear()
  effects.rollups.clear()
  for (const list of [
    effects.origins,
    effects.deadLetters,
    effects.settlements,
    effects.anomalies,
    effects.drifts,
    effects.transitions,
    effects.answers,
    effects.sampleTimesMs,
    effects.receivedTimesMs,
  ])
    list.length = 0
}
