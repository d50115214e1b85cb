/** What waits in the spool for JetStream, by agent: what a batch says of the backlog that stands behind it. */
import type { Spool } from '@tributary/spool'

export interface Waiting {
  /** A record of the agent's is in the spool and was not sent. */
  add(agent: string, bytes: number): void
  /** It was sent: to be said once. */
  sent(agent: string, bytes: number): void
  of(agent: string): { readonly batches: number; readonly bytes: number }
}

export function createWaiting(): Waiting {
  const agents = new Map<string, { batches: number; bytes: number }>()
  return {
    add(agent, bytes) {
      const waiting = agents.get(agent) ?? { batches: 0, bytes: 0 }
      waiting.batches += 1
      waiting.bytes += bytes
      agents.set(agent, waiting)
    },
    sent(agent, bytes) {
      const waiting = agents.get(agent)
      if (!waiting) return
      waiting.batches -= 1
      waiting.bytes = Math.max(0, waiting.bytes - bytes)
      if (waiting.batches <= 0) agents.delete(agent)
    },
    of: (agent) => agents.get(agent) ?? { batches: 0, bytes: 0 },
  }
}

export const wasSent = (spool: Spool, sequence: number): boolean =>
  sequence <= spool.sentThrough || spool.sentRanges.some(({ from, to }) => from <= sequence && sequence <= to)
