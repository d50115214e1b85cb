/**
 * One message of the stream through `step`. A message on which it throws (a mistake of ours) is remembered; when it comes again, on the
 * state of the checkpoint, it is refused as a whole and becomes a dead letter.
 */
import type { JsMsg } from '@nats-io/jetstream'
import { type Logger, messageOf } from '@tributary/runtime'
import type { StepContext } from './batch-scope.ts'
import type { Effects } from './effects.ts'
import { takeIn, takenAsFailed } from './intake.ts'
import type { PartitionState } from './state.ts'
import { step } from './step.ts'

/** A step threw and left the state half changed: it must be loaded again. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure'
}

export interface MessageStepper {
  /** @throws StepFailure */
  step(message: JsMsg, state: PartitionState, context: StepContext, effects: Effects): void
  /** It does not come again. */
  acknowledged(sequence: number): void
  /** Sequences mean other messages from now on. */
  forget(): void
}

export function createMessageStepper(partition: number, log: Logger): MessageStepper {
  /** Messages whose step failed, and why. */
  const poison = new Map<number, string>()
  return {
    step(message, state, context, effects) {
      const taken = takeIn({
        subject: message.subject,
        bytes: message.data,
        streamSequence: message.seq,
        receivedAtMs: Math.floor(message.info.timestampNanos / 1e6),
      })
      const why = poison.get(message.seq)
      try {
        step(state, why === undefined ? taken : takenAsFailed(taken, message.data, why), context, effects)
      } catch (error) {
        poison.set(message.seq, messageOf(error))
        log.error(
          { err: error, partition, streamSequence: message.seq, subject: message.subject },
          'a batch could not be processed; it becomes a dead letter, and the partition starts from its checkpoint',
        )
        throw new StepFailure()
      }
    },
    acknowledged: (sequence) => void poison.delete(sequence),
    forget: () => poison.clear(),
  }
}
