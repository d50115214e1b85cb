/**
 * Reads the gateway's tap and hands on what it decodes; comes back whenever the connection ends. It takes its time: at most half of it
 * goes into decoding, and what the gateway cannot get rid of meanwhile is dropped there, counted, and told to us.
 */
import { type Batch, createTapFrameReader, DecodeError, decodeBatch } from '@tributary/protocol'
import {
  type Backoff,
  backoffDelayMs,
  type Clock,
  isAbort,
  type Logger,
  messageOf,
  type Service,
} from '@tributary/runtime'
import type { GatewayLink } from './gateway-link.ts'

const BACKOFF: Backoff = { firstMs: 500, maxMs: 5_000 }
/** The gateway gives a sign of life every second. */
const SILENT_MS_MAX = 5_000

export interface TapReader extends Service {
  readonly connected: boolean
  /** Why it is not connected. */
  readonly problem: string | undefined
  readonly batches: number
  /** Batches that the gateway dropped for us, and such as nobody could read. */
  readonly dropped: number
}

export function createTapReader(
  link: GatewayLink,
  onBatch: (batch: Batch) => void,
  { clock, log }: { clock: Clock; log: Logger },
): TapReader {
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let connected = false
  let problem: string | undefined = 'not connected yet'
  let batches = 0
  let dropped = 0

  const read = async () => {
    const stalled = new AbortController()
    const watch = () =>
      clock.after(SILENT_MS_MAX, () => stalled.abort(new Error(`nothing was heard for ${SILENT_MS_MAX / 1_000} s`)))
    let cancel = watch()
    try {
      const signal = AbortSignal.any([stopping.signal, stalled.signal])
      const response = await link.request('GET', '/batches', undefined, signal)
      if (!response.ok)
        throw new Error(`the gateway answers ${response.status}: ${(await response.text()).slice(0, 200)}`)
      if (!connected) log.info('live samples come in from the gateway')
      connected = true
      problem = undefined
      const take = createTapFrameReader()
      let droppedHere = 0
      for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
        cancel()
        const startedMs = clock.monotonicMs()
        for (const frame of take(piece)) {
          dropped += frame.dropped - droppedHere
          droppedHere = frame.dropped
          if (frame.batch) decode(frame.batch)
        }
        await clock.sleep(clock.monotonicMs() - startedMs, signal)
        cancel = watch()
      }
      throw new Error('the gateway ended the stream')
    } finally {
      cancel()
    }
  }
  const decode = (bytes: Uint8Array) => {
    batches += 1
    try {
      onBatch(decodeBatch(bytes))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      dropped += 1
    }
  }
  const keepReading = async () => {
    for (let attempt = 1; !stopping.signal.aborted; attempt++) {
      await read().catch((error) => {
        if (stopping.signal.aborted) return
        if (connected) attempt = 1
        connected = false
        problem = isAbort(error) ? 'nothing was heard' : messageOf(error)
        if (attempt === 1) log.warn({ problem }, 'no live samples: the gateway is tried again')
      })
      await clock.sleep(backoffDelayMs(BACKOFF, attempt), stopping.signal).catch(() => undefined)
    }
  }
  return {
    name: 'tap reader',
    get connected() {
      return connected
    },
    get problem() {
      return problem
    },
    get batches() {
      return batches
    },
    get dropped() {
      return dropped
    },
    async start() {
      running = keepReading()
    },
    async stop() {
      stopping.abort()
      await running
      connected = false
    },
  }
}
