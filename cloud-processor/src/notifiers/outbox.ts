/**
 * Delivers what the checkpointed outbox holds: at least once, each receiver in order and at its own pace, so that a dead
 * one delays nobody else. What was settled is handed back, for the next step to take it out of the state; until then it is
 * remembered here, and after a crash in between it is sent again under the same key.
 */
import {
  type Backoff,
  backoffDelayMs,
  type Clock,
  type Logger,
  type Metrics,
  messageOf,
  PermanentError,
  type Service,
} from '@tributary/runtime'
import { createLane, type Lane } from './lane.ts'
import { AccessRefusedError, type Notification, type Notifier, RetryLaterError } from './notifier.ts'
import type { OutboxState, Outcome, Settled } from './outbox-state.ts'
import { createReceiverWatch, type ReceiverWatch } from './receiver-watch.ts'

export interface OutboxStatus {
  readonly receiver: string
  readonly waiting: number
  /** Failed attempts at the notification that is next. */
  readonly failures: number
  readonly lastError: string
}

export interface Outbox extends Service {
  /** To be called with the state after it was saved, also with the one that was restored; what it holds will be delivered. */
  offer(state: OutboxState): void
  /** Outcomes since the last call: pass each to `settle` in the next step. */
  takeSettled(): Settled[]
  status(): OutboxStatus[]
}

export interface OutboxDependencies {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Shared with other outboxes of the same receivers. */
  readonly watch?: ReceiverWatch
  readonly backoff?: Backoff
  /** A notification older than this is given up. */
  readonly deliverForMs?: number
}

const BACKOFF: Backoff = { firstMs: 1_000, maxMs: 5 * 60_000 }
/** A receiver that asks for more time than this is asked again after it. */
const RETRY_AFTER_MS_MAX = 60 * 60_000
const FAILURES_BEFORE_OTHERS = 5
/** What was never tried does not wait longer than this for a receiver that fails: it may fail with what it was sent before alone. */
const UNTRIED_MS_MAX = 30_000
const DELIVER_FOR_MS = 7 * 86_400_000

export function createOutbox(notifiers: readonly Notifier[], dependencies: OutboxDependencies): Outbox {
  const { clock, log, metrics, backoff = BACKOFF, deliverForMs = DELIVER_FOR_MS } = dependencies
  const watch = dependencies.watch ?? createReceiverWatch(dependencies)
  const sent = metrics.counter('notifications_total', 'Notifications by receiver and what became of them.', [
    'receiver',
    'outcome',
  ])
  const waiting = metrics.gauge('notifications_waiting', 'Notifications not yet delivered.', ['receiver'])
  const lanes = new Map<string, Lane>()
  let settled: Settled[] = []
  let running: AbortController | undefined
  let loops: Promise<void>[] = []

  function laneOf(receiver: string): Lane {
    const known = lanes.get(receiver)
    if (known) return known
    const lane = createLane(
      receiver,
      notifiers.find(({ name }) => name === receiver),
    )
    lanes.set(receiver, lane)
    if (running) loops.push(deliverAll(lane, running.signal))
    return lane
  }

  function finish(lane: Lane, { key }: Notification, outcome: Outcome): void {
    lane.done.add(key)
    lane.failures = 0
    lane.tryAtMs = lane.tryUntriedAtMs = Number.NEGATIVE_INFINITY
    lane.lastError = ''
    const everyMs = lane.notifier?.standing?.everyMs
    settled.push({ receiver: lane.receiver, key, outcome, ...(everyMs === undefined ? {} : { stands: true }) })
    // It has just been told.
    if (everyMs !== undefined && lane.toRepeat().length === 0) lane.repeatAtMs = clock.monotonicMs() + everyMs
    sent.inc({ receiver: lane.receiver, outcome })
  }

  async function deliver(lane: Lane, notification: Notification, signal: AbortSignal): Promise<void> {
    const { receiver, notifier } = lane
    const about = { receiver, key: notification.key, alert: notification.transition.message }
    if (notifier === undefined) {
      log.error(about, 'the receiver of this notification is not configured any more: it is given up')
      finish(lane, notification, 'undeliverable')
      return
    }
    try {
      await notifier.send(notification, signal)
      finish(lane, notification, 'delivered')
      watch.delivered(receiver)
    } catch (error) {
      if (signal.aborted) return
      const { queuedAtMs = notification.transition.atMs } = notification
      const isLost = error instanceof PermanentError || clock.wallMs() - queuedAtMs > deliverForMs
      if (isLost) {
        log.error({ ...about, err: error }, 'notification given up: nobody was told')
        watch.failed(receiver, messageOf(error), true)
        finish(lane, notification, 'undeliverable')
        return
      }
      sent.inc({ receiver, outcome: 'failed' })
      lane.failures += 1
      if (lane.failures >= FAILURES_BEFORE_OTHERS) lane.defer(notification.transition.episode)
      lane.lastError = messageOf(error)
      const askedMs = error instanceof RetryLaterError ? Math.min(error.afterMs, RETRY_AFTER_MS_MAX) : 0
      const delayMs = Math.max(askedMs, backoffDelayMs(backoff, lane.failures))
      lane.tryAtMs = clock.monotonicMs() + delayMs
      lane.tryUntriedAtMs = clock.monotonicMs() + Math.max(askedMs, Math.min(delayMs, UNTRIED_MS_MAX))
      const attempt = { ...about, attempt: lane.failures, delayMs: Math.round(delayMs), err: error }
      if (error instanceof AccessRefusedError)
        log.error(attempt, 'notification not delivered: its config or the receiver must be mended; trying again')
      else log.warn(attempt, 'notification not delivered; trying again')
      watch.failed(receiver, lane.lastError, false)
    }
  }

  /** What the receiver would forget. That it failed is no reason to hurry: the next time comes soon. */
  async function repeat(lane: Lane, signal: AbortSignal): Promise<void> {
    const standing = lane.notifier?.standing
    if (standing === undefined) return
    const all = lane.toRepeat()
    lane.repeatAtMs = clock.monotonicMs() + standing.everyMs
    try {
      await standing.repeat(all, signal)
      watch.delivered(lane.receiver)
    } catch (error) {
      if (signal.aborted) return
      watch.failed(lane.receiver, messageOf(error), false)
      sent.inc({ receiver: lane.receiver, outcome: 'failed' })
      log.warn({ receiver: lane.receiver, alerts: all.length, err: error }, 'alerts that go on were not told again')
    }
  }

  async function deliverAll(lane: Lane, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const nowMs = clock.monotonicMs()
      const next = lane.next()
      const tryAtMs = next ? lane.dueAtMs(next) : Number.POSITIVE_INFINITY
      const repeatAtMs = lane.toRepeat().length > 0 ? lane.repeatAtMs : Number.POSITIVE_INFINITY
      if (repeatAtMs <= nowMs) await repeat(lane, signal)
      else if (next && tryAtMs <= nowMs) await deliver(lane, next, signal)
      else await lane.rest(clock, Math.min(repeatAtMs, tryAtMs) - nowMs, signal)
    }
  }

  /** What fell under the limit since the last time. */
  function sayDropped(lane: Lane, counts: OutboxState['counts'][string] | undefined): void {
    if (counts === undefined) return
    for (const outcome of ['collapsed', 'dropped'] as const) {
      const more = lane.counted === undefined ? 0 : counts[outcome] - lane.counted[outcome]
      if (more <= 0) continue
      sent.inc({ receiver: lane.receiver, outcome }, more)
      if (outcome === 'dropped')
        log.error(
          { receiver: lane.receiver, notifications: more },
          'too many notifications wait: the oldest are given up',
        )
    }
    lane.counted = { ...counts }
  }

  return {
    name: 'outbox',
    async start() {
      running = new AbortController()
      const { signal } = running
      loops = [...lanes.values()].map((lane) => deliverAll(lane, signal))
    },
    /** Lets what is waiting go out while there is time; the rest stays in the checkpoint. */
    async stop(signal) {
      const idle = () => [...lanes.values()].every((lane) => !lane.next() || lane.failures > 0)
      while (running && !signal.aborted && !idle()) await clock.sleep(20, signal).catch(() => undefined)
      running?.abort(new DOMException('stopped', 'AbortError'))
      running = undefined
      await Promise.all(loops)
      loops = []
    },
    offer(state) {
      for (const receiver of [...Object.keys(state.queues), ...Object.keys(state.standing ?? {})]) laneOf(receiver)
      for (const lane of lanes.values()) {
        const before = lane.waiting
        lane.take(state.queues[lane.receiver] ?? [], state.standing?.[lane.receiver] ?? [])
        sayDropped(lane, state.counts[lane.receiver])
        waiting.inc({ receiver: lane.receiver }, lane.waiting - before)
        lane.wake()
      }
    },
    takeSettled() {
      const taken = settled
      settled = []
      return taken
    },
    status: () =>
      [...lanes.values()].map((lane) => ({
        receiver: lane.receiver,
        waiting: lane.open().length,
        failures: lane.failures,
        lastError: lane.lastError,
      })),
  }
}
