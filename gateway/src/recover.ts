/** Reads the spool once at start: its records carry the marks that the file of marks does not have yet. */
import type { Logger } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'
import type { Marks } from './marks.ts'
import { decodeRecord } from './record.ts'
import type { BatchIdentity, StoredIndex } from './stored.ts'
import { type Waiting, wasSent } from './waiting.ts'

const READ_BYTES = 4 * 1024 * 1024

export async function recoverReceived(
  spool: Spool,
  { marks, index, waiting, log }: { marks: Marks; index: StoredIndex; waiting: Waiting; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  let next = Math.max(spool.firstSequence, spool.trimmedThrough + 1)
  let count = 0
  const known = new Map<string, BatchIdentity>()
  while (next < spool.nextSequence) {
    signal.throwIfAborted()
    const records = await spool.read(next, READ_BYTES).catch((error) => {
      // Until the spool gives the segment up and tells what it held as lost.
      log.warn({ err: error, fromSequence: next }, 'the spool cannot be read; it is tried again')
    })
    if (!records) continue
    const last = records.at(-1)
    if (!last) break
    for (const { sequence, payload } of records) {
      const received = decodeRecord(payload)
      const identity = received?.identity && { agent: received.agent, ...received.identity }
      if (identity) marks.add(identity.agent, identity.epoch, identity.sequence)
      index.add(sequence, identity)
      if (identity) known.set(`${identity.agent}/${identity.epoch}`, identity)
      if (received && !wasSent(spool, sequence)) waiting.add(received.agent, payload.length)
    }
    count += records.length
    next = last.sequence + 1
  }
  // The processor may have no reason to say it again.
  for (const { agent, epoch } of known.values())
    index.stored(agent, epoch, marks.watermark(agent, epoch)?.sequence ?? 0)
  sayLosses(spool, log)
  log.info({ batches: count, unsent: spool.nextSequence - 1 - spool.sentThrough }, 'the spool was read')
}

/** Batches that were acknowledged and cannot be read any more. The processor sees the gap in their agent's sequence. */
export function sayLosses(spool: Spool, log: Logger): void {
  const lost = spool.losses.filter(({ reason }) => reason !== 'unused')
  if (lost.length > 0)
    log.error(
      { lost, hint: 'check the disk; the processor names the agents and sequences that are missing' },
      'records of the spool are damaged: batches that were not stored yet are lost',
    )
  if (spool.losses.length > 0) spool.lossesReported()
}
