// Guarantee: `offer` never waits and never throws, keeps at most TAP_BYTES_MAX a reader, and costs nothing when nobody reads. Not: that
// a reader gets every batch. What one does not take in time is dropped for it alone, counted, and told to it.
import { strict as assert } from 'node:assert'
import { BATCH_BYTES_MAX, encodeTapFrame, TAP_FRAME_BYTES_MAX, TAP_SIGN_OF_LIFE_MS } from '@tributary/protocol'
import { type Clock, every, type Metrics, type Service } from '@tributary/runtime'

export const TAP_READERS_MAX = 4
/** What may be due to a reader beside the piece that is on its way to it. */
export const TAP_BYTES_MAX = BATCH_BYTES_MAX + 64 * 1024
/** At most so often something is written to a reader. */
const PIECE_EVERY_MS = 100
/** The head of one frame beside it. */
const ROOM_BYTES = TAP_BYTES_MAX - (TAP_FRAME_BYTES_MAX - BATCH_BYTES_MAX)
assert(ROOM_BYTES >= BATCH_BYTES_MAX, 'the largest batch fits')
assert(PIECE_EVERY_MS < TAP_SIGN_OF_LIFE_MS, 'signs of life are given on time')

/** Where a reader's pieces go; `write` must not wait. */
export interface TapOutlet {
  write(bytes: Uint8Array): void
  /** Bytes that were written and not taken. */
  readonly unsentBytes: number
}

export interface Tap extends Service {
  offer(batch: Uint8Array): void
  /** @returns how to end it; undefined when there are TAP_READERS_MAX already */
  attach(outlet: TapOutlet): (() => void) | undefined
  readonly readers: number
  /** Batches that readers did not get, all together. */
  readonly dropped: number
}

interface Reader {
  readonly outlet: TapOutlet
  due: Buffer[]
  dueBytes: number
  dropped: number
  writtenAtMs: number
}

export function createTap({ clock, metrics }: { clock: Clock; metrics: Metrics }): Tap {
  const readers = new Set<Reader>()
  const droppedTotal = metrics.counter('gateway_tap_dropped_total', 'Batches that a reader of the tap was too slow for')
  const readersNow = metrics.gauge('gateway_tap_readers', 'Readers of the tap')
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let dropped = 0

  const count = () => readersNow.set(readers.size)
  const writePieces = () => {
    const nowMs = clock.monotonicMs()
    for (const reader of readers) {
      if (reader.outlet.unsentBytes > 0) continue
      if (reader.due.length === 0) {
        if (nowMs - reader.writtenAtMs < TAP_SIGN_OF_LIFE_MS) continue
        reader.due = [encodeTapFrame({ dropped: reader.dropped, batch: undefined })]
      }
      reader.outlet.write(Buffer.concat(reader.due))
      reader.due = []
      reader.dueBytes = 0
      reader.writtenAtMs = nowMs
    }
  }
  return {
    name: 'tap',
    get readers() {
      return readers.size
    },
    get dropped() {
      return dropped
    },
    offer(batch) {
      for (const reader of readers) {
        if (reader.dueBytes + batch.length > ROOM_BYTES) {
          reader.dropped += 1
          dropped += 1
          droppedTotal.inc()
          continue
        }
        const frame = encodeTapFrame({ dropped: reader.dropped, batch })
        reader.due.push(frame)
        reader.dueBytes += frame.length
      }
    },
    attach(outlet) {
      if (readers.size >= TAP_READERS_MAX) return undefined
      const reader: Reader = { outlet, due: [], dueBytes: 0, dropped: 0, writtenAtMs: Number.NEGATIVE_INFINITY }
      readers.add(reader)
      count()
      return () => {
        readers.delete(reader)
        count()
      }
    },
    async start() {
      running = every(PIECE_EVERY_MS, writePieces, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
      readers.clear()
      count()
    },
  }
}
