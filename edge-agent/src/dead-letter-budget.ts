/**
 * Turns refusals into edge dead letters, at a bounded rate.
 *
 * Guarantee: every refusal is accounted for. The first few a second of an input keep their original bytes; the rest are joined into
 * one dead letter a reason that says how many there were and how many readings were lost with them.
 */
import { DEAD_LETTER_ORIGINAL_BYTES_MAX, type EdgeDeadLetter } from '@tributary/protocol'
import type { Refusal } from './sample.ts'

export const LETTERS_PER_SECOND_MAX = 10
const ORIGINAL_BYTES_PER_SECOND_MAX = 128 * 1024
/** Bytes kept of a `detail`; device texts may stand in it. */
const DETAIL_CHARACTERS_MAX = 300

export interface DeadLetterBudget {
  /** A dead letter with its original, or undefined when it was joined to a summary. */
  admit(input: string, refusal: Refusal, receivedAtMs: number): EdgeDeadLetter | undefined
  readonly hasSummaries: boolean
  /** The summaries so far; they begin anew. */
  takeSummaries(): EdgeDeadLetter[]
}

interface Summary {
  readonly input: string
  readonly reason: string
  count: number
  readingCount: number
  originalBytes: number
  readonly firstAtMs: number
  lastAtMs: number
}

/** @param monotonicMs for the rate; the times in the letters are handed in */
export function createDeadLetterBudget(monotonicMs: () => number): DeadLetterBudget {
  const spent = new Map<string, { sinceMs: number; letters: number; bytes: number }>()
  let summaries = new Map<string, Summary>()

  const mayKeep = (input: string, bytes: number): boolean => {
    const nowMs = monotonicMs()
    let window = spent.get(input)
    if (!window || nowMs - window.sinceMs >= 1_000) {
      window = { sinceMs: nowMs, letters: 0, bytes: 0 }
      spent.set(input, window)
    }
    if (window.letters >= LETTERS_PER_SECOND_MAX || window.bytes + bytes > ORIGINAL_BYTES_PER_SECOND_MAX) return false
    window.letters++
    window.bytes += bytes
    return true
  }
  return {
    admit(input, refusal, receivedAtMs) {
      const kept = Math.min(refusal.original.length, DEAD_LETTER_ORIGINAL_BYTES_MAX)
      // Shed readings have no original; they are counted, not listed.
      if (refusal.reason !== 'spool_full' && mayKeep(input, kept))
        return {
          input,
          device: refusal.device,
          reason: refusal.reason,
          detail: refusal.detail.slice(0, DETAIL_CHARACTERS_MAX),
          receivedAtMs,
          original: refusal.original.slice(0, kept),
          originalBytes: refusal.original.length,
          readingCount: refusal.readingCount,
        }
      const key = `${input} ${refusal.reason}`
      const summary = summaries.get(key) ?? {
        input,
        reason: refusal.reason,
        count: 0,
        readingCount: 0,
        originalBytes: 0,
        firstAtMs: receivedAtMs,
        lastAtMs: receivedAtMs,
      }
      summary.count++
      summary.readingCount += refusal.readingCount
      summary.originalBytes += refusal.original.length
      summary.lastAtMs = receivedAtMs
      summaries.set(key, summary)
      return undefined
    },
    get hasSummaries() {
      return summaries.size > 0
    },
    takeSummaries() {
      const letters = [...summaries.values()].map(
        (s): EdgeDeadLetter => ({
          input: s.input,
          device: '',
          reason: s.reason,
          detail: `${s.count} ${s.reason === 'spool_full' ? 'deliveries shed' : 'more like this'} within ${((s.lastAtMs - s.firstAtMs) / 1_000).toFixed(1)} s; the originals were not kept`,
          receivedAtMs: s.firstAtMs,
          original: new Uint8Array(0),
          originalBytes: s.originalBytes,
          readingCount: s.readingCount,
        }),
      )
      summaries = new Map()
      return letters
    },
  }
}
