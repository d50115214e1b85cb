/** There is no room: nothing was written, and no sequence was used. Try again when something was trimmed. */
export class SpoolFullError extends Error {
  override readonly name = 'SpoolFullError'
}
