/** What waits for one receiver: in which order it goes, and when the loop that sends it has something to do. */
import type { Clock } from '@tributary/runtime'
import type { Notification, Notifier } from './notifier.ts'
import type { OutboxCounts } from './outbox-state.ts'

export interface Lane {
  readonly receiver: string
  /** Undefined when it is not configured any more. */
  readonly notifier: Notifier | undefined
  /** Keys that are done and still in the state. */
  readonly done: Set<string>
  /** Open ones when they were taken last: what this lane adds to the gauge, which the outboxes of several partitions share. */
  readonly waiting: number
  failures: number
  lastError: string
  /** Monotonic: not before then. */
  tryAtMs: number
  /** The same for what has not failed so far. */
  tryUntriedAtMs: number
  repeatAtMs: number
  /** As of the state that was taken last. */
  counted: OutboxCounts | undefined
  take(queue: readonly Notification[], standing: readonly Notification[]): void
  open(): Notification[]
  /** Others are tried before this episode: a notification that the receiver cannot digest must not keep back the rest. */
  defer(episode: string): void
  /** The oldest of an episode that is not deferred, else of the one that has waited longest since it was. */
  next(): Notification | undefined
  dueAtMs(notification: Notification): number
  /** What stands, but for what is about to end; nothing when the receiver does not forget. */
  toRepeat(): Notification[]
  /** Until it is woken, the time has passed, or the signal aborts. */
  rest(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void>
  wake(): void
}

export function createLane(receiver: string, notifier: Notifier | undefined): Lane {
  let queue: readonly Notification[] = []
  let standing: readonly Notification[] = []
  let waiting = 0
  let onWake: () => void = () => undefined
  const done = new Set<string>()
  /** The one that failed longest ago first. */
  const deferred = new Set<string>()
  const open = () => queue.filter(({ key }) => !done.has(key))
  const lane: Lane = {
    receiver,
    notifier,
    done,
    get waiting() {
      return waiting
    },
    failures: 0,
    lastError: '',
    tryAtMs: Number.NEGATIVE_INFINITY,
    tryUntriedAtMs: Number.NEGATIVE_INFINITY,
    repeatAtMs: Number.NEGATIVE_INFINITY,
    counted: undefined,
    take(nextQueue, nextStanding) {
      queue = [...nextQueue]
      standing = [...nextStanding]
      const keys = new Set(queue.map(({ key }) => key))
      for (const key of done) if (!keys.has(key)) done.delete(key)
      waiting = keys.size - done.size
      const episodes = new Set(queue.map(({ transition }) => transition.episode))
      for (const episode of deferred) if (!episodes.has(episode)) deferred.delete(episode)
    },
    open,
    defer(episode) {
      deferred.delete(episode)
      deferred.add(episode)
    },
    next() {
      const all = open()
      const untried = all.find(({ transition }) => !deferred.has(transition.episode))
      if (untried) return untried
      for (const episode of deferred) {
        const next = all.find(({ transition }) => transition.episode === episode)
        if (next) return next
      }
      return undefined
    },
    dueAtMs: ({ transition }) => (deferred.has(transition.episode) ? lane.tryAtMs : lane.tryUntriedAtMs),
    toRepeat() {
      if (standing.length === 0 || notifier?.standing === undefined) return []
      const ending = new Set(
        queue.filter(({ transition }) => transition.state === 'resolved').map(({ transition }) => transition.episode),
      )
      return standing.filter(({ transition }) => !ending.has(transition.episode))
    },
    async rest(clock, delayMs, signal) {
      if (signal.aborted) return
      let cancel: () => void = () => undefined
      await new Promise<void>((resolve) => {
        onWake = resolve
        signal.addEventListener('abort', onWake, { once: true })
        if (Number.isFinite(delayMs)) cancel = clock.after(Math.max(0, delayMs), resolve)
      })
      signal.removeEventListener('abort', onWake)
      cancel()
    },
    wake: () => onWake(),
  }
  return lane
}
