/**
 * What is still to be told, per receiver: plain JSON inside the checkpoint, so that a notification is kept exactly when the
 * state that caused it is. Bounded: in a full queue a `firing` gives way to its own `resolved` (the episode is then told
 * once, as one that came and went), then the oldest `resolved` goes, then the oldest of all. Everything given up is counted.
 */
import type { AlertTransition } from '../alerts/episode.ts'
import type { Notification } from './notifier.ts'

export interface OutboxState {
  /** Waiting, oldest first. */
  queues: Record<string, Notification[]>
  /** Per receiver, since the state was new. */
  counts: Record<string, OutboxCounts>
}

export interface OutboxCounts {
  enqueued: number
  delivered: number
  /** Refused for good by the receiver, or too old, or for a receiver that is configured no more. */
  undeliverable: number
  /** `firing` notifications that gave way to their `resolved`. */
  collapsed: number
  /** Given up under the limit, untold. */
  dropped: number
}

export interface OutboxLimits {
  readonly notificationsPerReceiverMax: number
}

export type Outcome = 'delivered' | 'undeliverable'

/** What became of one notification: an input of the next step. */
export interface Settled {
  readonly receiver: string
  readonly key: string
  readonly outcome: Outcome
}

export const startOutbox = (): OutboxState => ({ queues: {}, counts: {} })

/**
 * Puts transitions that somebody is to be told into the queues of their receivers.
 * @param receivers names of all notifiers; one that a rule names and that is not among them is passed over
 */
export function enqueue(
  state: OutboxState,
  transitions: readonly AlertTransition[],
  receivers: readonly string[],
  limits: OutboxLimits = { notificationsPerReceiverMax: 1_000 },
): void {
  for (const transition of transitions) {
    const key = `${transition.episode}/${transition.state}`
    const told = transition.notify === 'all' ? receivers : receivers.filter((name) => transition.notify.includes(name))
    for (const receiver of told) enqueueFor(state, receiver, { key, transition }, limits)
  }
}

/** Puts a notification into the queue of its receiver. */
export function enqueueFor(
  state: OutboxState,
  receiver: string,
  notification: Notification,
  { notificationsPerReceiverMax }: OutboxLimits,
): void {
  let queue = state.queues[receiver]
  if (queue === undefined) queue = state.queues[receiver] = []
  queue.push(notification)
  const counts = countsOf(state, receiver)
  counts.enqueued += 1
  while (queue.length > notificationsPerReceiverMax) makeRoom(queue, counts)
}

/** Of all receivers, since the state was new. */
export const enqueuedTotal = ({ counts }: OutboxState): number =>
  Object.values(counts).reduce((sum, { enqueued }) => sum + enqueued, 0)

/** Takes out what was settled since the last step; what is not there (any more) changes nothing. */
export function settle(state: OutboxState, { receiver, key, outcome }: Settled): void {
  const queue = state.queues[receiver]
  const at = queue?.findIndex((notification) => notification.key === key) ?? -1
  if (queue === undefined || at < 0) return
  queue.splice(at, 1)
  if (queue.length === 0) delete state.queues[receiver]
  countsOf(state, receiver)[outcome] += 1
}

function countsOf(state: OutboxState, receiver: string): OutboxCounts {
  const known = state.counts[receiver]
  if (known) return known
  const fresh = { enqueued: 0, delivered: 0, undeliverable: 0, collapsed: 0, dropped: 0 }
  state.counts[receiver] = fresh
  return fresh
}

function makeRoom(queue: Notification[], counts: OutboxCounts): void {
  const ended = new Set(
    queue.filter(({ transition }) => transition.state === 'resolved').map(({ transition }) => transition.episode),
  )
  const pair = queue.findIndex(({ transition }) => transition.state === 'firing' && ended.has(transition.episode))
  if (pair >= 0) {
    queue.splice(pair, 1)
    counts.collapsed += 1
    return
  }
  const resolved = queue.findIndex(({ transition }) => transition.state === 'resolved')
  queue.splice(Math.max(resolved, 0), 1)
  counts.dropped += 1
}
