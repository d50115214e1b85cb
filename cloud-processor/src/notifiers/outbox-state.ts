/**
 * What is still to be told, per receiver: plain JSON inside the checkpoint, so that a notification is kept exactly when the
 * state that caused it is. Bounded: when a queue is full, pairs of firing and resolved collapse first.
 */
import type { AlertTransition } from '../alerts/engine.ts'
import type { Notification } from './notifier.ts'

export interface OutboxState {
  queues: Record<string, Notification[]>
  /** Per receiver, since the state was new: notifications given up under the limit. */
  collapsed: Record<string, number>
  /** Per receiver, since the state was new. */
  delivered: Record<string, number>
  undeliverable: Record<string, number>
}

export interface OutboxLimits {
  readonly notificationsPerReceiverMax: number
}

export type Outcome = 'delivered' | 'undeliverable'

export const startOutbox = (): OutboxState => ({ queues: {}, collapsed: {}, delivered: {}, undeliverable: {} })

/** Puts transitions that somebody is to be told into the queues of their receivers. @param receivers names of all notifiers */
export function enqueue(
  _state: OutboxState,
  _transitions: readonly AlertTransition[],
  _receivers: readonly string[],
  _limits: OutboxLimits,
): void {
  throw new Error('not written yet')
}

/** Takes out what was settled since the last step. */
export function settle(_state: OutboxState, _receiver: string, _key: string, _outcome: Outcome): void {
  throw new Error('not written yet')
}
