/**
 * From the spool to JetStream: what is new first, a backlog beside it as fast as the other end takes it.
 *
 * Guarantee: a record counts as sent only when JetStream confirmed it. Not: that a record is sent once, nor that lanes keep an
 * order between them; after any failure a run begins again at what was not confirmed, and the newest batches go first.
 */
import type { Lane } from '@tributary/protocol'
import {
  backoffDelayMs,
  type Clock,
  isAbort,
  type Logger,
  type Metrics,
  messageOf,
  type Service,
  type Stage,
} from '@tributary/runtime'
import {
  createPump,
  type PumpBehind,
  type PumpFigures,
  type PumpLane,
  type Spool,
  type SpoolRecord,
} from '@tributary/spool'
import { FORWARD_BYTES_MAX } from './config.ts'
import { type OwnBacklog, outgoing } from './outgoing.ts'
import { type Stream, StreamFullError } from './stream.ts'
import type { StreamPace } from './stream-pace.ts'
import { type Waiting, wasSent } from './waiting.ts'

export interface Forwarder extends Service {
  readonly forwarded: number
  readonly retries: number
  readonly lanes: PumpFigures
  /** What of the agent waits at this gateway. */
  backlogOf(agent: string): OwnBacklog
}

const BACKOFF = { firstMs: 100, maxMs: 5_000 }
/** More batches than this waiting: the newest go first, and batches say what waits behind them. */
const OVERTAKE_FROM = 256
const SAY_AGAIN_MS = 60_000

export function createForwarder(
  spool: Spool,
  stream: Stream,
  {
    pace,
    waiting,
    stage,
    inFlightMax,
  }: { pace: StreamPace; waiting: Waiting; stage: Pick<Stage, 'ended' | 'left'>; inFlightMax: number },
  { clock, log, metrics }: { clock: Clock; log: Logger; metrics: Metrics },
): Forwarder {
  const forwardedTotal = metrics.counter('gateway_forwarded_total', 'Batches that JetStream confirmed')
  const retriesTotal = metrics.counter('gateway_forward_retries_total', 'Runs that failed and began again', ['reason'])
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let forwarded = 0
  let retries = 0
  let saidMs = Number.NEGATIVE_INFINITY
  /** Records that wait for the one before them to be confirmed, too: after a failure they are sent again. Bounded by what may be in flight. */
  const confirmed = new Set<number>()
  /** A backlog was met, and is not gone. */
  let draining = false

  const backlogOf = (agent: string): OwnBacklog => {
    const own = waiting.of(agent)
    return { ...own, drainSeconds: own.batches > 0 ? pump.drainSeconds : 0 }
  }
  const noteConfirmed = (agent: string, { sequence, payload }: SpoolRecord) => {
    if (confirmed.has(sequence)) return
    for (const other of confirmed) if (wasSent(spool, other)) confirmed.delete(other)
    confirmed.add(sequence)
    waiting.sent(agent, payload.length)
  }
  const backlogBehind =
    ({ payload }: SpoolRecord) =>
    (agent: string): OwnBacklog => {
      const { batches, bytes } = waiting.of(agent)
      if (batches <= 1) return { batches: 0, bytes: 0, drainSeconds: 0 }
      return { batches: batches - 1, bytes: Math.max(0, bytes - payload.length), drainSeconds: pump.drainSeconds }
    }
  const send = async (record: SpoolRecord, lane: PumpLane, behind: PumpBehind): Promise<void> => {
    draining = behind.records > (draining ? inFlightMax : OVERTAKE_FROM)
    const own = draining || lane === 'backlog' ? backlogBehind(record) : undefined
    const agent = await publishRecord(stream, record, lane, own, log)
    pace.published()
    if (agent !== undefined) noteConfirmed(agent, record)
    forwarded += 1
    forwardedTotal.inc()
    if (lane === 'live') stage.ended(record.sequence, clock.monotonicMs())
    else stage.left(record.sequence)
  }
  const pump = createPump(
    spool,
    {
      inFlightMax,
      inFlightBytesMax: FORWARD_BYTES_MAX,
      overtakeFrom: Math.max(OVERTAKE_FROM, inFlightMax),
    },
    { clock, log, send, mayDrain: pace.mayDrain },
  )
  const run = async (signal: AbortSignal) => {
    for (let attempt = 1; !signal.aborted; attempt++) {
      const before = forwarded
      try {
        await stream.waitUntilReady(signal)
        await pump.run(signal)
      } catch (error) {
        if (signal.aborted) return
        if (forwarded > before) attempt = 1
        retries += 1
        retriesTotal.inc({ reason: error instanceof StreamFullError ? 'stream_full' : 'not_confirmed' })
        const delayMs = backoffDelayMs(BACKOFF, attempt)
        if (clock.monotonicMs() - saidMs > SAY_AGAIN_MS) {
          saidMs = clock.monotonicMs()
          log.warn(
            { error: messageOf(error), delayMs, ...hintFor(error) },
            'NATS did not confirm; batches stay in the spool and are sent again',
          )
        }
        await clock.sleep(delayMs, signal).catch((reason) => {
          if (!isAbort(reason) && !signal.aborted) throw reason
        })
      }
    }
  }
  return {
    name: 'forwarder',
    get forwarded() {
      return forwarded
    },
    get retries() {
      return retries
    },
    lanes: pump,
    backlogOf,
    async start() {
      running = run(stopping.signal)
    },
    async stop() {
      stopping.abort(new DOMException('stopping', 'AbortError'))
      await running
    },
  }
}

/** Publishes what a record holds; bytes that are no record of ours are skipped, and said. @returns whose it was */
export async function publishRecord(
  stream: Stream,
  record: SpoolRecord,
  lane: Lane,
  own: ((agent: string) => OwnBacklog) | undefined,
  log: Logger,
): Promise<string | undefined> {
  const { sequence, payload } = record
  const message = outgoing(payload, stream.payloadBytesMax, lane, own)
  if (!message) {
    log.error({ sequence, bytes: payload.length }, 'a record of the spool is not one of ours; it is skipped')
    return undefined
  }
  const { agent, replaced } = message
  if (replaced === 'larger_than_nats_takes')
    log.error(
      { agent, bytes: payload.length, hint: 'raise max_payload to 2MB in nats-server.conf' },
      'a batch is larger than NATS takes; its readings become a dead letter, and what follows goes on',
    )
  if (replaced === 'unreadable_and_cut')
    log.warn(
      { agent, bytes: payload.length },
      'a batch that cannot be read is longer than NATS takes; its dead letter has the beginning',
    )
  await stream.publish(agent, message.payload)
  return agent
}

function hintFor(error: unknown): { hint?: string } {
  return error instanceof StreamFullError
    ? { hint: "the processor does not keep up, or does not run; or raise the stream's max_bytes" }
    : {}
}
