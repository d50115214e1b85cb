import type { Batch, BatchHeader, SendFields } from './batch.ts'

/** The format version that this code writes. It reads this and every earlier one. */
export const BATCH_FORMAT_VERSION = 1

/** The bytes are not a batch, or break a limit; `reason` is a short stable word for a dead letter. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError'
  readonly reason: 'not_a_batch' | 'cut_short' | 'bad_checksum' | 'too_large' | 'unknown_version' | 'malformed'
  constructor(reason: DecodeError['reason'], detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.reason = reason
  }
}

/** Encodes a batch; throws RangeError when it breaks a limit. Counts in the header are taken from the batch as given. */
export function encodeBatch(_batch: Batch): Uint8Array {
  throw new Error('not written yet')
}
/** Reads the header without inflating the body: what the gateway's admission needs. Checks lengths and the body's checksum. */
export function decodeHeader(_bytes: Uint8Array): BatchHeader {
  throw new Error('not written yet')
}
/** Decodes the whole; throws DecodeError, never anything else, whatever the bytes. */
export function decodeBatch(_bytes: Uint8Array): Batch {
  throw new Error('not written yet')
}
/** The same batch with other send fields; the body is copied, not decoded. */
export function rewriteSendFields(_bytes: Uint8Array, _fields: SendFields): Uint8Array {
  throw new Error('not written yet')
}
