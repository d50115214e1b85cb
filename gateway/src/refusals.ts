/** Everything that is turned away is counted by reason and said in the log, but not a thousand times. */
import type { Clock, Logger, Metrics } from '@tributary/runtime'

export type RefusalReason =
  | 'too_many_clients'
  | 'bad_handshake'
  | 'bad_credentials'
  | 'login_queue_full'
  | 'not_supported'
  | 'foreign_topic'
  | 'foreign_agent'
  | 'packet_too_large'
  | 'malformed_packet'
  | 'stalled_packet'
  | 'newer_format'
  | 'too_many_epochs'
  | 'spool_full'
  | 'spool_failed'
  | 'link_error'

/** Thrown by whoever refuses; ends the connection, and nothing was acknowledged. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly reason: RefusalReason
  constructor(reason: RefusalReason, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.reason = reason
  }
}

export interface Refusals {
  /** Counts, and logs unless the same reason and agent was logged within the last seconds. */
  refuse(reason: RefusalReason, fields: { agent?: string; [field: string]: unknown }, detail: string): void
  readonly counts: Readonly<Record<string, number>>
  count(...reasons: readonly RefusalReason[]): number
}

const QUIET_MS = 10_000
const REMEMBERED_MAX = 1_000

export function createRefusals({ clock, log, metrics }: { clock: Clock; log: Logger; metrics: Metrics }): Refusals {
  const refused = metrics.counter('gateway_refused_total', 'Connections and batches turned away', ['reason'])
  const counts: Partial<Record<RefusalReason, number>> = {}
  const said = new Map<string, { atMs: number; suppressed: number }>()
  return {
    counts,
    count: (...reasons) => reasons.reduce((sum, reason) => sum + (counts[reason] ?? 0), 0),
    refuse(reason, fields, detail) {
      refused.inc({ reason })
      counts[reason] = (counts[reason] ?? 0) + 1
      const key = `${reason}/${fields.agent ?? ''}`
      const last = said.get(key)
      const nowMs = clock.monotonicMs()
      if (last && nowMs - last.atMs < QUIET_MS) {
        last.suppressed += 1
        return
      }
      log.warn({ reason, ...fields, ...(last?.suppressed ? { suppressed: last.suppressed } : {}) }, detail)
      if (said.size >= REMEMBERED_MAX) said.clear()
      said.set(key, { atMs: nowMs, suppressed: 0 })
    },
  }
}
