// Guarantee: the send cursor moves over a record only when JetStream confirmed it and every record before it. Not: that a
// record is sent once; after any failure the pass begins again at the cursor.
import type { Lane } from '@tributary/protocol'
import {
  backoffDelayMs,
  type Clock,
  isAbort,
  type Logger,
  type Metrics,
  messageOf,
  type Service,
} from '@tributary/runtime'
import type { Spool, SpoolRecord } from '@tributary/spool'
import { FORWARD_BYTES_MAX } from './config.ts'
import { type OwnBacklog, outgoing } from './outgoing.ts'
import { type Stream, StreamFullError } from './stream.ts'
import type { StreamPace } from './stream-pace.ts'
import type { Waiting } from './waiting.ts'

export interface Forwarder extends Service {
  readonly forwarded: number
  readonly retries: number
  /** What of the agent's waits at this gateway. */
  backlogOf(agent: string): OwnBacklog
}

const READ_BYTES = 4 * 1024 * 1024
const BACKOFF = { firstMs: 100, maxMs: 5_000 }
const SAY_AGAIN_MS = 60_000

export function createForwarder(
  spool: Spool,
  stream: Stream,
  { pace, waiting: backlog, inFlightMax }: { pace: StreamPace; waiting: Waiting; inFlightMax: number },
  { clock, log, metrics }: { clock: Clock; log: Logger; metrics: Metrics },
): Forwarder {
  const forwardedTotal = metrics.counter('gateway_forwarded_total', 'Batches that JetStream confirmed')
  const retriesTotal = metrics.counter('gateway_forward_retries_total', 'Passes that failed and began again', [
    'reason',
  ])
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let forwarded = 0
  let retries = 0
  let saidMs = Number.NEGATIVE_INFINITY

  /** Sends from the cursor on until something fails. @throws what failed, after everything in flight was settled */
  const pass = async (signal: AbortSignal): Promise<void> => {
    /** In spool order; confirmed ones leave from the front and move the cursor. */
    const window: { sequence: number; bytes: number; confirmed: boolean }[] = []
    const failed = new AbortController()
    const ended = AbortSignal.any([signal, failed.signal])
    let windowBytes = 0
    let inFlight = 0
    const waiting: (() => void)[] = []
    const change = () => new Promise<void>((resolve) => waiting.push(resolve))

    const moveCursor = () => {
      let through = 0
      while (window[0]?.confirmed) {
        const { sequence, bytes } = window.shift() as { sequence: number; bytes: number }
        through = sequence
        windowBytes -= bytes
        forwarded += 1
        forwardedTotal.inc()
      }
      if (through > 0) spool.markSent(through)
    }
    const send = async (record: SpoolRecord) => {
      const entry = { sequence: record.sequence, bytes: record.payload.length, confirmed: false }
      window.push(entry)
      windowBytes += entry.bytes
      inFlight += 1
      try {
        const agent = await publishRecord(stream, record, 'live', undefined, log)
        pace.published()
        if (agent !== undefined) backlog.sent(agent, record.payload.length)
        entry.confirmed = true
        moveCursor()
      } catch (error) {
        failed.abort(error)
      } finally {
        inFlight -= 1
        for (const wake of waiting.splice(0)) wake()
      }
    }
    const hasRoomFor = (bytes: number) =>
      window.length < inFlightMax && (windowBytes === 0 || windowBytes + bytes <= FORWARD_BYTES_MAX)

    try {
      for (let next = spool.sentThrough + 1; ; ) {
        await spool.waitFor(next, ended)
        for (const record of await spool.read(next, READ_BYTES)) {
          while (!hasRoomFor(record.payload.length) && !ended.aborted) await change()
          ended.throwIfAborted()
          void send(record)
          next = record.sequence + 1
        }
      }
    } finally {
      while (inFlight > 0) await change()
    }
  }

  const run = async (signal: AbortSignal) => {
    for (let attempt = 1; !signal.aborted; attempt++) {
      const before = forwarded
      try {
        await stream.waitUntilReady(signal)
        await pass(signal)
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
    backlogOf: (agent) => ({ ...backlog.of(agent), drainSeconds: 0 }),
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
