/**
 * Sends again what was sent before: what the gateway asks for, and all that is not in the store when the gateway lost its disk.
 * One range at a time, few batches in flight, beside what is new. What the connection's end interrupts goes on with the next.
 *
 * Guarantee: nothing that was trimmed is sent again, although it may still be readable: some of it was rolled up, and its windows
 * stand for it.
 */
import type { Clock, Logger } from '@tributary/runtime'
import type { Spool, SpoolRecord } from '@tributary/spool'
import { epochOf } from './stored-watermark.ts'

export interface ResendRange {
  fromSequence: number
  readonly toSequence: number
  /** Of this epoch alone. */
  readonly epoch?: string
  readonly onDone?: () => void
}

export interface Resend {
  /** Queued. @returns false when too many wait */
  request(range: ResendRange): boolean
  /** Serves the queue over one connection. @param send resolves with the PUBACK; rejects when the connection has ended, and so does this */
  run(send: (record: SpoolRecord) => Promise<void>, signal: AbortSignal): Promise<never>
  /** Batches sent again since the start. */
  readonly resent: number
  /** Batches that were asked for and are not in the spool any more. */
  readonly gone: number
}

const RANGES_MAX = 100
const IN_FLIGHT_MAX = 4
const READ_BYTES_MAX = 256 * 1024
const READ_AGAIN_MS = 1_000

export function createResend(spool: Spool, { clock, log }: { clock: Clock; log: Logger }): Resend {
  const queue: ResendRange[] = []
  let wake: () => void = () => undefined
  let resent = 0
  let gone = 0

  const wasSent = (sequence: number) =>
    sequence <= spool.sentThrough || spool.sentRanges.some(({ from, to }) => from <= sequence && sequence <= to)
  const read = async (fromSequence: number, signal: AbortSignal): Promise<SpoolRecord[]> => {
    for (;;)
      try {
        return await spool.read(fromSequence, READ_BYTES_MAX)
      } catch (error) {
        log.warn({ err: error }, 'what is to be sent again cannot be read; it is tried again')
        await clock.sleep(READ_AGAIN_MS, signal)
      }
  }
  const serve = async (range: ResendRange, send: (record: SpoolRecord) => Promise<void>, signal: AbortSignal) => {
    let sent = 0
    let present = 0
    const wanted = range.toSequence - range.fromSequence + 1
    while (range.fromSequence <= range.toSequence) {
      signal.throwIfAborted()
      const records = await read(Math.max(range.fromSequence, spool.firstSequence, spool.trimmedThrough + 1), signal)
      const last = records.at(-1)
      if (!last) break
      const inRange = records.filter(
        ({ sequence, payload }) =>
          sequence <= range.toSequence && (range.epoch === undefined || epochOf(payload) === range.epoch),
      )
      present += inRange.length
      // What was not sent yet comes anyway.
      const due = inRange.filter(({ sequence }) => wasSent(sequence))
      for (let at = 0; at < due.length; at += IN_FLIGHT_MAX) {
        const together = due.slice(at, at + IN_FLIGHT_MAX).filter(({ sequence }) => sequence > spool.trimmedThrough)
        await Promise.all(together.map(send))
        sent += together.length
        resent += together.length
      }
      range.fromSequence = last.sequence + 1
    }
    const { epoch, toSequence } = range
    const missing = epoch === undefined ? 0 : wanted - present
    gone += missing
    if (missing > 0)
      log.warn({ epoch, toSequence, sent, missing }, 'the gateway asks for batches that are not in the spool any more')
    else log.info({ epoch, toSequence, sent }, 'sent again')
    range.onDone?.()
  }
  return {
    request(range) {
      if (queue.length >= RANGES_MAX) {
        log.warn(
          { ...range },
          'too many requests to send again wait; this one is left out, and the processor asks anew',
        )
        return false
      }
      queue.push(range)
      wake()
      return true
    },
    async run(send, signal) {
      const aborted = new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
      )
      aborted.catch(() => undefined)
      for (;;) {
        signal.throwIfAborted()
        const range = queue[0]
        if (!range) {
          await Promise.race([
            aborted,
            new Promise<void>((resolve) => {
              wake = resolve
            }),
          ])
          continue
        }
        await serve(range, send, signal)
        queue.shift()
      }
    },
    get resent() {
      return resent
    },
    get gone() {
      return gone
    },
  }
}
