/** The envelope of every dead letter on `deadletter.v1.<stage>.<agent>`: JSON, one object a message. */

/** Where it was refused. */
export type DeadLetterStage = 'edge' | 'decode' | 'contract' | 'store'

export interface DeadLetter {
  /** `<agent>/<epoch>/<sequence>/<index>`: the same when the same batch is processed again. */
  readonly id: string
  readonly stage: DeadLetterStage
  /** A short stable word (`bad_checksum`, `unknown_field`, `out_of_range`, `wrong_type`, …): what `dlq list` groups by. */
  readonly reason: string
  /** A sentence for a person. */
  readonly detail: string
  readonly site: string
  readonly agent: string
  readonly epoch: string
  readonly sequence: number
  readonly device: string
  readonly kind: string
  /** Field, when one field of a sample was refused; else ''. */
  readonly field: string
  /** Event time of the first refused reading, or time of receipt at the edge. */
  readonly timeMs: number
  readonly refusedAtMs: number
  readonly readingCount: number
  /**
   * The original bytes, base64. At stage `contract`: JSON `{times: number[], values: unknown[], sequences?: number[]}`
   * of the refused readings; at stage `store`: the line; at `decode`: the batch; at `edge`: what came over the wire.
   */
  readonly original: string
  readonly originalBytes: number
}
