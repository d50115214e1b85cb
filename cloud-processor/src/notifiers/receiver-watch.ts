/**
 * Which receivers take nothing: those that have failed for five minutes without one success between, and those whose last word was
 * that they never will. Shared by the outboxes of all partitions; what is told of it is an alert on `receivers_failing`.
 */
import type { Clock, Gauge, Logger, Metrics } from '@tributary/runtime'

export interface FailingReceiver {
  readonly receiver: string
  readonly failingForMs: number
  readonly lastError: string
}

export interface ReceiverWatch {
  delivered(receiver: string): void
  /** @param isLost nobody will hear of what it was to be told */
  failed(receiver: string, reason: string, isLost: boolean): void
  /** Worst first; to be asked now and then, for it is said when one begins to. */
  failing(): FailingReceiver[]
}

const FAILING_AFTER_MS = 5 * 60_000

interface Failures {
  readonly sinceMs: number
  lastError: string
  isSaid: boolean
  isLost: boolean
}

export function createReceiverWatch({
  clock,
  log,
  metrics,
}: {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}): ReceiverWatch {
  const known = new Map<string, Failures>()
  const gauge: Gauge<'receiver'> = metrics.gauge('receiver_failing', '1 while a receiver takes no notifications.', [
    'receiver',
  ])
  function say(receiver: string, failures: Failures): void {
    if (failures.isSaid) return
    failures.isSaid = true
    gauge.set({ receiver }, 1)
    log.error(
      { receiver, reason: failures.lastError },
      'a receiver does not take its notifications: the others are told',
    )
  }
  const isFailing = ({ sinceMs, isLost }: Failures) => isLost || clock.monotonicMs() - sinceMs >= FAILING_AFTER_MS
  return {
    delivered(receiver) {
      gauge.set({ receiver }, 0)
      if (known.get(receiver)?.isSaid) log.info({ receiver }, 'the receiver takes notifications again')
      known.delete(receiver)
    },
    failed(receiver, lastError, isLost) {
      const failures = known.get(receiver) ?? { sinceMs: clock.monotonicMs(), lastError, isSaid: false, isLost }
      known.set(receiver, failures)
      failures.lastError = lastError
      failures.isLost ||= isLost
      if (isFailing(failures)) say(receiver, failures)
    },
    failing() {
      const failing = [...known].filter(([, failures]) => isFailing(failures))
      for (const [receiver, failures] of failing) say(receiver, failures)
      return failing
        .map(([receiver, { sinceMs, lastError }]) => ({
          receiver,
          failingForMs: Math.round(clock.monotonicMs() - sinceMs),
          lastError,
        }))
        .sort((a, b) => b.failingForMs - a.failingForMs)
    },
  }
}
