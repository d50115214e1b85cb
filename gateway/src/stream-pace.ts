/**
 * How much the other end of the stream can take. A backlog must not fill the stream so that what is live waits behind it: what
 * waits in the stream, divided by the pace at which processors take it, is how long a new batch waits (Little's law).
 *
 * Guarantee: while the stream holds more than `MESSAGES_FREE` batches and more than `WAIT_SECONDS_MAX` of work, or nothing is
 * taken, no backlog goes into it from this gateway's disk, and agents that send a backlog wait for each PUBACK, by at
 * most `HOLD_MS_MAX`. What is live is never held.
 */
import { strict as assert } from 'node:assert'
import { type Clock, every, type Metrics, type Service } from '@tributary/runtime'
import { INGEST_BYTES_MAX } from './config.ts'

export interface StreamPace extends Service {
  /** Whether a backlog may go on. Asking keeps the watch going. */
  mayDrain(): boolean
  /** Resolves when the PUBACK of a batch that an agent sent in the lane `backlog` may leave. */
  holdBack(bytes: number): Promise<void>
  /** A batch was published: counted until the stream is looked at again. */
  published(): void
  /** Seconds that a batch waits in the stream; 0 when it is not watched. */
  readonly waitSeconds: number
  /** PUBACKs that are held now. */
  readonly held: number
}

export interface StreamDepth {
  /** Batches that no processor has taken yet. What was taken and is not acknowledged delays nothing that comes. */
  readonly waiting: number
  readonly lastSequence: number
}

export const WAIT_SECONDS_MAX = 0.5
/** So many may always wait: a stream that is nearly empty says little about the pace. */
export const MESSAGES_FREE = 128
export const HOLD_MS_MAX = 1_000
/** Bytes of held batches: beyond, the one held longest goes. */
const HELD_BYTES_MAX = INGEST_BYTES_MAX / 4
const LOOK_MS = 500
/** The pace is that of the last looks. */
const POINTS_MAX = 4
/** Without a backlog for so long, nobody looks. */
const IDLE_MS = 5_000
const DRAIN_SECONDS_MAX = 1_000_000
assert(HELD_BYTES_MAX < INGEST_BYTES_MAX, 'live batches find room while backlog waits')

export function createStreamPace(
  /** @returns undefined when the stream cannot be asked: then nothing is held */
  depth: () => Promise<StreamDepth | undefined>,
  { clock, metrics }: { clock: Clock; metrics: Metrics },
): StreamPace {
  const waitGauge = metrics.gauge(
    'gateway_stream_wait_seconds',
    'How long a batch waits in the stream, while a backlog drains',
  )
  const heldTotal = metrics.counter(
    'gateway_pubacks_held_total',
    'PUBACKs of backlog that were held because the stream was behind',
  )
  let points: { atMs: number; taken: number; waiting: number }[] = []
  let publishedSince = 0
  /** The stream was asked and did not answer. */
  let blind = false
  let askedMs = Number.NEGATIVE_INFINITY
  let heldBytes = 0
  const holding = new Set<() => void>()
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()

  /** Batches a second; undefined until it was looked twice. */
  const pace = (): number | undefined => {
    const [first, last] = [points[0], points.at(-1)]
    if (!first || !last || first === last) return undefined
    return ((last.taken - first.taken) * 1_000) / (last.atMs - first.atMs)
  }
  const waiting = (): number => {
    if (blind) return 0
    const last = points.at(-1)
    if (!last) return publishedSince
    const taken = ((pace() ?? 0) * (clock.monotonicMs() - last.atMs)) / 1_000
    return Math.max(0, last.waiting + publishedSince - taken)
  }
  const keepsUp = () => waiting() <= Math.max(MESSAGES_FREE, (pace() ?? 0) * WAIT_SECONDS_MAX)
  const waitSeconds = () => {
    const messages = waiting()
    const perSecond = pace() ?? 0
    if (messages < 1 || points.length < 2) return 0
    return perSecond > 0 ? Math.min(DRAIN_SECONDS_MAX, messages / perSecond) : DRAIN_SECONDS_MAX
  }
  const letGo = () => {
    for (const go of [...holding]) go()
  }
  const look = async () => {
    const idle = clock.monotonicMs() - askedMs > IDLE_MS
    const counted = publishedSince
    const found = idle ? undefined : await depth()
    blind = !idle && !found
    const taken = found ? found.lastSequence - found.waiting : 0
    publishedSince -= counted
    // Unknown, or another stream than before.
    if (!found || taken < (points.at(-1)?.taken ?? 0)) points = []
    if (found) points.push({ atMs: clock.monotonicMs(), taken, waiting: found.waiting })
    if (points.length > POINTS_MAX) points.shift()
    waitGauge.set(waitSeconds())
    if (keepsUp()) letGo()
  }
  return {
    name: 'stream pace',
    mayDrain() {
      askedMs = clock.monotonicMs()
      return keepsUp()
    },
    holdBack(bytes) {
      askedMs = clock.monotonicMs()
      if (keepsUp() || stopping.signal.aborted) return Promise.resolve()
      heldTotal.inc()
      return new Promise((resolve) => {
        const go = () => {
          if (!holding.delete(go)) return
          cancel()
          heldBytes -= bytes
          resolve()
        }
        const cancel = clock.after(HOLD_MS_MAX, go)
        holding.add(go)
        heldBytes += bytes
        for (const oldest of holding) {
          if (heldBytes <= HELD_BYTES_MAX) break
          oldest()
        }
      })
    },
    published() {
      publishedSince += 1
    },
    get waitSeconds() {
      return waitSeconds()
    },
    get held() {
      return holding.size
    },
    async start() {
      running = every(LOOK_MS, look, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      letGo()
      await running
    },
  }
}
