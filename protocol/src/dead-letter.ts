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
  /** How often it was requeued and refused again; absent: never. */
  readonly requeued?: number | undefined
  /**
   * The original bytes, base64. At stage `contract`: JSON `{times: number[], values: unknown[], sequences?: number[], before?: (number | null)[]}`
   * of the refused readings (`before`: what each was compared with: the value when its step was too large, the time when it came too soon); at stage `store`: the line; at `decode`: the batch; at `edge`: what came over the wire.
   */
  readonly original: string
  readonly originalBytes: number
}

/**
 * What became of one request to requeue or drop a letter: JSON on `deadletter.v1.settled.<agent>`, in the stream of dead letters.
 * `stored`, `refused`, `dropped` and `settled_before` take the letter, as often requeued as said, out of the queue where it stands before the answer in the stream; what was refused
 * again stands in it anew, under the same id. `unchanged` leaves it there.
 */
export interface LetterSettlement {
  readonly id: string
  /** How often the letter had been requeued before. */
  readonly requeued: number
  /** Of the request. */
  readonly request: string
  readonly outcome: 'stored' | 'refused' | 'dropped' | 'settled_before' | 'unchanged'
  /** Readings. */
  readonly stored: number
  readonly refused: number
  /** Why readings were refused again; else ''. */
  readonly reason: string
  /** A sentence for a person. */
  readonly detail: string
  readonly settledAtMs: number
}
