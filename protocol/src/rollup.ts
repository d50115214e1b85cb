/**
 * Windows that an agent computed because it had no room for the samples: what is left of readings that were shed. They are no
 * readings, and no count of the header holds them; they merge into the processor's windows as the readings would have done.
 */

/** A field's windows, column by column; a slot a window. Where a count is 0 the other slots hold 0 or ''. */
export type RollupColumn = {
  readonly field: string
  /** Readings of the field in each window. */
  readonly counts: Float64Array
  /** Milliseconds from the start of the window to its last reading. */
  readonly lastOffsetsMs: Float64Array
} & (
  | {
      readonly type: 'number'
      readonly sums: Float64Array
      /**
       * Count times the sum of the squared differences from the mean. Like the sum, and unlike mean and variance, it is a short
       * decimal where the readings are.
       */
      readonly spreads: Float64Array
      readonly minimums: Float64Array
      readonly maximums: Float64Array
      /** Values of the last readings; of equal times the greater. */
      readonly lasts: Float64Array
    }
  | {
      readonly type: 'boolean'
      /** How many of the readings were true. */
      readonly trueCounts: Float64Array
      /** 0 or 1. */
      readonly lasts: Uint8Array
    }
  | { readonly type: 'string'; readonly lasts: readonly string[] }
)

/** Windows of one device and kind. A field whose values changed type has one column a type. */
export interface RollupBlock {
  readonly device: string
  readonly kind: string
  readonly widthMs: number
  /** The samples stood in these sequences of the batch's own epoch, all of them earlier than the batch. */
  readonly fromSequence: number
  readonly toSequence: number
  /** The times are those of arrival at an agent whose clock was not trusted: they may be corrected, by whole windows. */
  readonly stampedByAgent?: true
  /** Starts of the windows in event time: ascending multiples of the width, milliseconds since 1970. */
  readonly timesMs: Float64Array
  readonly columns: readonly RollupColumn[]
}
