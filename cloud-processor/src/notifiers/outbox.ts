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
import { AccessRefusedError, type Notification, type Notifier, RetryLaterError } from './notifier.ts'
import type { OutboxState, Outcome, Settled } from './outbox-state.ts'

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
  readonly backoff?: Backoff
  /** A notification older than this is given up. */
  readonly deliverForMs?: number
}

const BACKOFF: Backoff = { firstMs: 1_000, maxMs: 5 * 60_000 }
const FAILURES_BEFORE_OTHERS = 5
const DELIVER_FOR_MS = 7 * 86_400_000

interface Lane {
  readonly receiver: string
  readonly notifier: Notifier | undefined
  queue: readonly Notification[]
  /** Keys that are done and still in the state. */
  readonly done: Set<string>
  /** Episodes that wait while others are tried: a notification that the receiver cannot digest must not keep back the rest. */
  readonly deferred: Set<string>
  /** What this lane adds to the gauge, which the outboxes of several partitions share. */
  waiting: number
  failures: number
  lastError: string
  wake: () => void
}

export function createOutbox(
  notifiers: readonly Notifier[],
  { clock, log, metrics, backoff = BACKOFF, deliverForMs = DELIVER_FOR_MS }: OutboxDependencies,
): Outbox {
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
    const notifier = notifiers.find(({ name }) => name === receiver)
    const lane: Lane = {
      receiver,
      notifier,
      queue: [],
      done: new Set(),
      deferred: new Set(),
      waiting: 0,
      failures: 0,
      lastError: '',
      wake: () => undefined,
    }
    lanes.set(receiver, lane)
    if (running) loops.push(deliverAll(lane, running.signal))
    return lane
  }

  function nextOf(lane: Lane): Notification | undefined {
    const open = lane.queue.filter(({ key }) => !lane.done.has(key))
    const next = open.find(({ transition }) => !lane.deferred.has(transition.episode))
    if (next === undefined) lane.deferred.clear()
    return next ?? open[0]
  }

  function finish(lane: Lane, { key }: Notification, outcome: Outcome): void {
    lane.done.add(key)
    lane.failures = 0
    lane.lastError = ''
    settled.push({ receiver: lane.receiver, key, outcome })
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
    } catch (error) {
      if (signal.aborted) return
      const tooOld = clock.wallMs() - notification.transition.atMs > deliverForMs
      if (error instanceof PermanentError || tooOld) {
        log.error({ ...about, err: error }, 'notification given up: nobody was told')
        finish(lane, notification, 'undeliverable')
        return
      }
      sent.inc({ receiver, outcome: 'failed' })
      lane.failures += 1
      if (lane.failures >= FAILURES_BEFORE_OTHERS) lane.deferred.add(notification.transition.episode)
      lane.lastError = messageOf(error)
      const askedMs = error instanceof RetryLaterError ? Math.min(error.afterMs, backoff.maxMs) : 0
      const delayMs = Math.max(askedMs, backoffDelayMs(backoff, lane.failures))
      const attempt = { ...about, attempt: lane.failures, delayMs: Math.round(delayMs), err: error }
      if (error instanceof AccessRefusedError)
        log.error(attempt, 'notification not delivered: the receiver does not let us in; trying again')
      else log.warn(attempt, 'notification not delivered; trying again')
      await clock.sleep(delayMs, signal).catch(() => undefined)
    }
  }

  async function deliverAll(lane: Lane, signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => lane.wake(), { once: true })
    while (!signal.aborted) {
      const next = nextOf(lane)
      if (next) await deliver(lane, next, signal)
      else
        await new Promise<void>((resolve) => {
          lane.wake = resolve
        })
    }
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
      const idle = () => [...lanes.values()].every((lane) => !nextOf(lane) || lane.failures > 0)
      while (running && !signal.aborted && !idle()) await clock.sleep(20, signal).catch(() => undefined)
      running?.abort(new DOMException('stopped', 'AbortError'))
      running = undefined
      await Promise.all(loops)
      loops = []
    },
    offer(state) {
      for (const receiver of Object.keys(state.queues)) laneOf(receiver)
      for (const lane of lanes.values()) {
        lane.queue = [...(state.queues[lane.receiver] ?? [])]
        const keys = new Set(lane.queue.map(({ key }) => key))
        for (const key of lane.done) if (!keys.has(key)) lane.done.delete(key)
        waiting.inc({ receiver: lane.receiver }, keys.size - lane.done.size - lane.waiting)
        lane.waiting = keys.size - lane.done.size
        lane.wake()
      }
    },
    takeSettled() {
      const taken = settled
      settled = []
      return taken
    },
    status: () =>
      [...lanes.values()].map(({ receiver, queue, done, failures, lastError }) => ({
        receiver,
        waiting: queue.length - done.size,
        failures,
        lastError,
      })),
  }
}
