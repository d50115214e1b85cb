/**
 * Delivers what the checkpointed outbox holds: at least once, in order, each receiver at its own pace, so that a dead one
 * delays nobody else. What was settled is handed back, for the next step to take it out of the state.
 */
import type { Backoff, Clock, Logger, Metrics, Service } from '@tributary/runtime'
import type { Notifier } from './notifier.ts'
import type { OutboxState, Outcome } from './outbox-state.ts'

export interface Outbox extends Service {
  /** To be called with the state after it was saved, and once after the start; what it holds will be delivered. */
  offer(state: OutboxState): void
  /** Outcomes since the last call: pass each to `settle` in the next step. */
  takeSettled(): { receiver: string; key: string; outcome: Outcome }[]
  /** Per receiver: how many wait, and why. */
  status(): { receiver: string; waiting: number; attempts: number; lastError: string }[]
}

export interface OutboxDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly backoff?: Backoff
}

export function createOutbox(_notifiers: readonly Notifier[], _dependencies: OutboxDependencies): Outbox {
  throw new Error('not written yet')
}
