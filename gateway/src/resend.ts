/**
 * Sends records of the spool again: those that the processor asks for, and all that are not in the store when JetStream
 * lost what it had confirmed, or may have. One request at a time, few in flight, so that new batches keep most of the way.
 */
import type { ResendRequest } from '@tributary/protocol'
import { backoffDelayMs, type Clock, type Logger, type Metrics, messageOf, type Service } from '@tributary/runtime'
import type { Spool, SpoolRecord } from '@tributary/spool'
import { publishRecord } from './forwarder.ts'
import type { OwnBacklog } from './outgoing.ts'
import type { Range } from './range-set.ts'
import { decodeRecord } from './record.ts'
import type { SpoolRange, StoredIndex } from './stored.ts'
import type { Stream } from './stream.ts'
import { wasSent } from './waiting.ts'

export interface Resend extends Service {
  /** Queued; a request that waits already is not queued twice. */
  request(request: ResendRequest): void
  /** Everything that was sent and is not in the store. @param lost it may be gone; otherwise what nobody can recognise as the same stays out */
  requestAll(lost: boolean): void
  readonly resent: number
}

type Request = ResendRequest | 'lost' | 'not stored'

const QUEUE_MAX = 1_000
const IN_FLIGHT_MAX = 8
const READ_BYTES = 1024 * 1024
/** Of one request, so many gaps are named one by one; the rest is named as a whole. */
const GAPS_MAX = 16
const PACE_MS = 100
const BACKOFF = { firstMs: 250, maxMs: 5_000 }

export function createResend(
  spool: Spool,
  index: StoredIndex,
  stream: Stream,
  {
    onGone,
    mayDrain,
    backlogOf,
    clock,
    log,
    metrics,
  }: {
    /** Asked for, and not in the spool. */
    onGone: (agent: string, epoch: string, fromSequence: number, toSequence: number) => void
    /** Whether the stream takes more than what is new. */
    mayDrain: () => boolean
    backlogOf: (agent: string) => OwnBacklog
    clock: Clock
    log: Logger
    metrics: Metrics
  },
): Resend {
  const resentTotal = metrics.counter('gateway_resent_total', 'Batches sent again')
  const gone = metrics.counter('gateway_resend_gone_total', 'Batches asked for that are not in the spool any more')
  const refusedTotal = metrics.counter('gateway_resend_refused_total', 'Requests refused because the queue was full')
  const queue: Request[] = []
  let current: Request | undefined
  const stopping = new AbortController()
  let wake: () => void = () => undefined
  let running: Promise<void> = Promise.resolve()
  let resent = 0

  const covers = (waiting: Request, request: ResendRequest) =>
    typeof waiting === 'object' &&
    waiting.agent === request.agent &&
    waiting.epoch === request.epoch &&
    waiting.fromSequence <= request.fromSequence &&
    waiting.toSequence >= request.toSequence

  const waits = (request: ResendRequest) =>
    [...(current === undefined ? [] : [current]), ...queue].some((waiting) => covers(waiting, request))

  const highestSent = () => spool.sentRanges.at(-1)?.to ?? spool.sentThrough

  /** Sends the records of the range that are wanted and were sent before. @returns how many */
  const sendRange = async ({ from, to }: SpoolRange, wanted: (record: SpoolRecord) => boolean): Promise<number> => {
    let count = 0
    let next = Math.max(from, spool.firstSequence)
    while (next <= to) {
      stopping.signal.throwIfAborted()
      const records = await spool.read(next, READ_BYTES)
      const last = records.at(-1)
      if (!last) break
      const chosen = records.filter(
        (record) => record.sequence <= to && wanted(record) && wasSent(spool, record.sequence),
      )
      for (let at = 0; at < chosen.length; at += IN_FLIGHT_MAX) {
        while (!mayDrain()) await clock.sleep(PACE_MS, stopping.signal)
        await Promise.all(chosen.slice(at, at + IN_FLIGHT_MAX).map((record) => persist(record)))
      }
      count += chosen.length
      next = last.sequence + 1
    }
    return count
  }
  const persist = async (record: SpoolRecord) => {
    for (let attempt = 1; ; attempt++) {
      await stream.waitUntilReady(stopping.signal)
      try {
        await publishRecord(stream, record, 'backlog', backlogOf, log)
        resent += 1
        resentTotal.inc()
        return
      } catch (error) {
        log.debug({ error: messageOf(error), attempt }, 'a batch that is sent again was not confirmed')
        await clock.sleep(backoffDelayMs(BACKOFF, attempt), stopping.signal)
      }
    }
  }
  const serve = async (request: Request) => {
    if (typeof request === 'string') {
      const isWanted = ({ payload }: SpoolRecord) => {
        const received = decodeRecord(payload)
        const identity = received?.identity
        return identity ? !index.isStored({ agent: received.agent, ...identity }) : request === 'lost'
      }
      const count = await sendRange({ from: spool.trimmedThrough + 1, to: highestSent() }, isWanted)
      log.info({ batches: count }, 'sent again what is not in the store')
      return
    }
    const { agent, epoch, fromSequence, toSequence } = request
    /** Sent again now, or still to be sent for the first time. */
    const found = new Set<number>()
    let sent = 0
    const wanted = (record: SpoolRecord) => {
      const received = decodeRecord(record.payload)
      const sequence = received?.identity?.sequence
      if (sequence === undefined || received?.agent !== agent || received.identity?.epoch !== epoch) return false
      if (sequence < fromSequence || sequence > toSequence || found.has(sequence)) return false
      found.add(sequence)
      return true
    }
    for (const range of index.find(agent, epoch, fromSequence, toSequence)) sent += await sendRange(range, wanted)
    const missing = toSequence - fromSequence + 1 - found.size
    log[missing > 0 ? 'warn' : 'info']({ ...request, sent, missing }, 'asked to send batches again')
    if (missing === 0) return
    gone.inc(missing)
    for (const [from, to] of gapsOf(found, fromSequence, toSequence)) onGone(agent, epoch, from, to)
  }
  const run = async () => {
    while (!stopping.signal.aborted) {
      current = queue.shift()
      if (current === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      try {
        await serve(current)
      } catch (error) {
        if (stopping.signal.aborted) return
        log.warn({ err: error }, 'sending again failed; the processor asks anew')
      }
    }
  }
  return {
    name: 'resend',
    get resent() {
      return resent
    },
    request(request) {
      if (request.toSequence < request.fromSequence || waits(request)) return
      if (queue.length >= QUEUE_MAX) {
        refusedTotal.inc()
        return
      }
      queue.push(request)
      wake()
    },
    requestAll(lost) {
      if (queue.includes('lost') || (!lost && [current, ...queue].some((other) => typeof other === 'string'))) return
      if (lost) queue.unshift('lost')
      else queue.push('not stored')
      wake()
    },
    async start() {
      running = run()
    },
    async stop() {
      stopping.abort(new DOMException('stopping', 'AbortError'))
      wake()
      await running
    },
  }
}

/** What of the range was not found. */
export function gapsOf(found: ReadonlySet<number>, from: number, to: number): Range[] {
  const gaps: [number, number][] = []
  let next = from
  for (const sequence of [...[...found].sort((a, b) => a - b), to + 1]) {
    if (sequence > next) gaps.push([next, sequence - 1])
    next = sequence + 1
  }
  const whole = gaps.splice(GAPS_MAX - 1)
  const [first, last] = [whole[0], whole.at(-1)]
  return first && last ? [...gaps, [first[0], last[1]]] : gaps
}
