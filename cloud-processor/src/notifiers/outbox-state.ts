/**
 * What is still to be told, per receiver: plain JSON inside the checkpoint, so that a notification is kept exactly when the
 * state that caused it is. Bounded: in a full queue a `firing` gives way to its own `resolved` (the episode is then told
 * once, as one that came and went), then the oldest `resolved` goes, then the oldest of all. Everything given up is counted.
 */
import type { Notification } from './notifier.ts'

export interface OutboxState {
  /** Waiting, oldest first. */
  queues: Record<string, Notification[]>
  /** Per receiver, since the state was new. */
  counts: Record<string, OutboxCounts>
  /**
   * Per receiver that forgets what it is not told again: the `firing` that it was told and whose end it was not, at most as many as
   * may wait; beyond that the oldest is not told again. Absent in checkpoints of before.
   */
  standing?: Record<string, Notification[]>
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
  /** The receiver forgets it when it is not told again. */
  readonly stands?: boolean
}

export const startOutbox = (): OutboxState => ({ queues: {}, counts: {} })

const STANDING_MAX = 1_000

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
  while (queue.length > notificationsPerReceiverMax) {
    const given = makeRoom(queue, counts)
    if (given) follow(state, receiver, given, notificationsPerReceiverMax)
  }
}

/** What stood at receivers that are there no more. */
export function forgetStanding({ standing }: OutboxState, receivers: readonly string[]): void {
  for (const receiver in standing) if (!receivers.includes(receiver)) delete standing[receiver]
}

/** By receiver, since the state was new. */
export const enqueuedOf = ({ counts }: OutboxState): Record<string, number> =>
  Object.fromEntries(Object.entries(counts).map(([receiver, { enqueued }]) => [receiver, enqueued]))

/** Whether something was enqueued since then that is not the end of an alert: people wait for it. */
export const isUrgentSince = ({ queues, counts }: OutboxState, before: Readonly<Record<string, number>>): boolean =>
  Object.entries(queues).some(([receiver, queue]) => {
    const more = (counts[receiver]?.enqueued ?? 0) - (before[receiver] ?? 0)
    return more > 0 && queue.slice(-more).some(({ transition }) => transition.state !== 'resolved')
  })

/** Takes out what was settled since the last step; what is not there (any more) changes nothing. */
export function settle(state: OutboxState, { receiver, key, outcome, stands = false }: Settled): void {
  const queue = state.queues[receiver]
  const at = queue?.findIndex((notification) => notification.key === key) ?? -1
  if (queue === undefined || at < 0) return
  const [settled] = queue.splice(at, 1) as [Notification]
  if (queue.length === 0) delete state.queues[receiver]
  countsOf(state, receiver)[outcome] += 1
  const isBundle = settled.episodes !== undefined
  if (settled.transition.state === 'resolved' || (stands && outcome === 'delivered' && !isBundle))
    follow(state, receiver, settled)
}

/** What a receiver was told stands from its beginning to its end, whether it heard of the end or not. A group or digest has no end. */
function follow(state: OutboxState, receiver: string, notification: Notification, max = STANDING_MAX): void {
  const { episode, state: to } = notification.transition
  const others = (state.standing?.[receiver] ?? []).filter(({ transition }) => transition.episode !== episode)
  const all = to === 'resolved' ? others : [...others, notification].slice(-max)
  if (all.length > 0) state.standing = { ...state.standing, [receiver]: all }
  else if (state.standing) delete state.standing[receiver]
}

function countsOf(state: OutboxState, receiver: string): OutboxCounts {
  const known = state.counts[receiver]
  if (known) return known
  const fresh = { enqueued: 0, delivered: 0, undeliverable: 0, collapsed: 0, dropped: 0 }
  state.counts[receiver] = fresh
  return fresh
}

/** @returns the end of an episode that nobody will hear of */
function makeRoom(queue: Notification[], counts: OutboxCounts): Notification | undefined {
  const ended = new Set(
    queue.filter(({ transition }) => transition.state === 'resolved').map(({ transition }) => transition.episode),
  )
  const pair = queue.findIndex(({ transition }) => transition.state === 'firing' && ended.has(transition.episode))
  if (pair >= 0) {
    queue.splice(pair, 1)
    counts.collapsed += 1
    return undefined
  }
  const resolved = queue.findIndex(({ transition }) => transition.state === 'resolved')
  const [dropped] = queue.splice(Math.max(resolved, 0), 1)
  counts.dropped += 1
  return resolved < 0 ? undefined : dropped
}
