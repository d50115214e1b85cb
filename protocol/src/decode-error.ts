/** The bytes are not a batch, or break a limit; `reason` is a short stable word for a dead letter. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
  readonly reason: 'not_a_batch' | 'cut_short' | 'bad_checksum' | 'too_large' | 'unknown_version' | 'malformed'
  constructor(reason: DecodeError['reason'], detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.reason = reason
  }
}

export const malformed = (detail: string): DecodeError => new DecodeError('malformed', detail)
export const tooLarge = (detail: string): DecodeError => new DecodeError('too_large', detail)
