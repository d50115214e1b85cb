// Guarantee: what the marks would lose with a record is on disk before the record may go.
import { parseControlMessage, storedWatermarks } from '@tributary/protocol'
import { type Clock, every, type Logger, type Metrics, messageOf, type Service } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'
import type { Marks } from './marks.ts'
import { sayLosses } from './recover.ts'
import type { StoredIndex } from './stored.ts'
import type { StoredRelay } from './stored-relay.ts'

export interface Trim extends Service {
  /** A message on `stored.v1.<site>`. */
  onStored(payload: Uint8Array): void
}

/** Nothing could be trimmed for so long, though something was sent: the stream may have lost it without anybody noticing. */
export const STUCK_MS = 10 * 60_000

export function createTrim(
  spool: Spool,
  index: StoredIndex,
  marks: Marks,
  relay: StoredRelay,
  { site, everyMs, onStuck }: { site: string; everyMs: number; onStuck: () => void },
  { clock, log, metrics }: { clock: Clock; log: Logger; metrics: Metrics },
): Trim {
  const refused = metrics.counter('gateway_control_refused_total', 'Control messages that could not be read')
  const trimmedTotal = metrics.counter('gateway_trimmed_total', 'Records let go of, because they are in the store')
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let failed = false

  /** Where it stood when it last moved, or had no reason to. */
  let stood = { through: -1, sinceMs: 0 }
  const lookIfStuck = () => {
    const through = spool.trimmedThrough
    const nowMs = clock.monotonicMs()
    if (through !== stood.through || spool.sentThrough === through) stood = { through, sinceMs: nowMs }
    if (nowMs - stood.sinceMs < STUCK_MS) return
    stood.sinceMs = nowMs
    log.warn(
      { trimmedThrough: through, sentThrough: spool.sentThrough, hint: 'see that the processor runs' },
      'what was sent is not in the store after ten minutes; it is sent again',
    )
    onStuck()
  }
  const trim = async () => {
    lookIfStuck()
    sayLosses(spool, log)
    const through = index.trimmableThrough(spool.sentThrough)
    const before = spool.trimmedThrough
    if (through <= before) return
    try {
      await marks.save() // 1. what was received is known without the records
      await spool.trim(through) // 2. the records may go
      index.forget(through) // 3. and nobody asks for them any more
      trimmedTotal.inc(spool.trimmedThrough - before)
      failed = false
    } catch (error) {
      if (!failed) log.error({ err: error }, 'what is in the store cannot be let go of; it is tried again')
      failed = true
    }
  }
  return {
    name: 'trim',
    onStored(payload) {
      const message = parseControlMessage(storedWatermarks, payload)
      if (!message || message.site !== site) {
        refused.inc()
        log.warn(
          { bytes: payload.length },
          'a message with stored watermarks could not be read, or is for another site',
        )
        return
      }
      for (const { agent, epoch, sequence, beyond, totals } of message.watermarks) {
        index.stored(agent, epoch, sequence, beyond)
        marks.stored(agent, epoch, sequence, totals)
        relay.stored(agent, epoch, sequence)
      }
    },
    async start() {
      running = every(everyMs, trim, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
      await marks
        .save()
        .catch((error) =>
          log.warn({ error: messageOf(error) }, 'the marks were not saved; they are found again in the spool'),
        )
    },
  }
}
