// Guarantee: the send cursor moves over a record only when JetStream confirmed it and every record before it. Not: that a
// record is sent once; after any failure the pass begins again at the cursor.
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
import { decodeRecord } from './record.ts'
import { type Stream, StreamFullError } from './stream.ts'

export interface Forwarder extends Service {
  readonly forwarded: number
  readonly retries: number
}

const READ_BYTES = 4 * 1024 * 1024
const BACKOFF = { firstMs: 100, maxMs: 5_000 }
/** What NATS counts beside the payload. */
const HEADER_BYTES = 64
const SAY_AGAIN_MS = 60_000

export function createForwarder(
  spool: Spool,
  stream: Stream,
  inFlightMax: number,
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
        await publishRecord(stream, record, log)
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
    async start() {
      running = run(stopping.signal)
    },
    async stop() {
      stopping.abort(new DOMException('stopping', 'AbortError'))
      await running
    },
  }
}

/** Publishes what a record holds; bytes that are no record of ours are skipped, and said. */
export async function publishRecord(stream: Stream, record: SpoolRecord, log: Logger): Promise<void> {
  const received = decodeRecord(record.payload)
  if (!received) {
    log.error(
      { sequence: record.sequence, bytes: record.payload.length },
      'a record of the spool is not one of ours; it is skipped',
    )
    return
  }
  const bytesMax = stream.payloadBytesMax === undefined ? undefined : stream.payloadBytesMax - HEADER_BYTES
  const { agent, identity, batch } = received
  if (bytesMax === undefined || batch.length <= bytesMax) return stream.publish(agent, batch)
  if (identity)
    throw new Error(
      `a batch of ${batch.length} bytes is more than NATS takes (max_payload ${bytesMax}): raise max_payload to 2MB in nats-server.conf`,
    )
  log.warn(
    { agent, bytes: batch.length, kept: bytesMax },
    'a batch that cannot be read is longer than NATS takes; its dead letter has the beginning',
  )
  return stream.publish(agent, batch.subarray(0, bytesMax))
}

function hintFor(error: unknown): { hint?: string } {
  return error instanceof StreamFullError
    ? { hint: "the processor does not keep up, or does not run; or raise the stream's max_bytes" }
    : {}
}
