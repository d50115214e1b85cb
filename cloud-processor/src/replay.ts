/** Messages that may have been decided before a crash: they are decided again by contracts and registry of the checkpoint. */
import type { JsMsg } from '@nats-io/jetstream'

export interface Replay {
  readonly isOver: boolean
  /** So many messages at most. */
  begin(messagesMax: number): void
  /** The last sequence that was in the stream when the consumer began. */
  endAt(sequence: number): void
  /** A message behind which none waits was processed. */
  end(): void
  /** @returns how many of the messages may have been decided before */
  count(messages: readonly JsMsg[]): number
}

export function createReplay(): Replay {
  let left = 0
  let throughSequence = 0
  return {
    get isOver() {
      return left === 0
    },
    begin(messagesMax) {
      left = messagesMax
    },
    endAt(sequence) {
      throughSequence = sequence
    },
    end() {
      left = 0
    },
    count(messages) {
      const beyond = messages.findIndex(({ seq }) => seq > throughSequence)
      const count = Math.min(left, beyond < 0 ? messages.length : beyond)
      left = beyond >= 0 ? 0 : left - count
      return count
    },
  }
}
