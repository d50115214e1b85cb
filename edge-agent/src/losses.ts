/** What the spool lost, told as tombstones in the next batch. */
import { type BatchHeader, decodeHeader, type Tombstone } from '@tributary/protocol'
import type { Spool } from '@tributary/spool'

/**
 * The readings of a lost run are the difference between the running totals of its neighbours; 0 when one of those is gone too. At the end of
 * the spool the cursor remembers the total.
 * @param readingsTotal readings in the epoch up to now: what follows a run at the very end
 */
export async function tombstonesFor(spool: Spool, readingsTotal: number): Promise<Tombstone[]> {
  const tombstones: Tombstone[] = []
  for (const { epoch, fromSequence, toSequence, reason } of spool.losses) {
    const before = fromSequence === 1 ? 0 : (await headerOf(spool, epoch, fromSequence - 1))?.readingsTotal
    const next = await headerOf(spool, epoch, toSequence + 1)
    const isAtEnd = epoch === spool.epoch && toSequence + 1 >= spool.nextSequence
    const after = isAtEnd ? readingsTotal : next && next.readingsTotal - next.readingCount
    const isKnown = reason !== 'unused' && before !== undefined && after !== undefined
    tombstones.push({
      epoch,
      fromSequence,
      toSequence,
      readingCount: isKnown ? Math.max(0, after - before) : 0,
      reason,
    })
  }
  return tombstones
}

async function headerOf(spool: Spool, epoch: string, sequence: number): Promise<BatchHeader | undefined> {
  const [record] = await spool.read(sequence, 1)
  if (record?.sequence !== sequence) return undefined
  try {
    const header = decodeHeader(record.payload)
    return header.epoch === epoch ? header : undefined
  } catch {
    return undefined
  }
}
