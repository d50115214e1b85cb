/**
 * Who has a record of the spool: the uplink, which sends it, or the retention, which gives it up.
 *
 * Guarantee: what may have left is never taken for what has not (the processor might hold both the readings and their windows), and
 * what is being given up does not leave meanwhile. After a restart it is not known what had left when the process died, since the
 * send cursor is written lazily: the first `UNCERTAIN_RECORDS` after the cursor and after each sent range, and as many at the end of
 * the spool, where the live lane may just have begun, count as left. So no more than half of that leaves without the cursor being
 * written in between, as far as the disk takes it; the other half is for what is in flight.
 */
import type { Clock } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'

export const UNCERTAIN_RECORDS = 1_000
/** Beyond it the two nearest ranges are joined: what lies between counts as left. */
const RANGES_MAX = 256
/** Who asked for records on the wire, and did not come back, holds up the others for no longer. */
const HOLD_MS_MAX = 2_000

export interface RecordClaims {
  /** Asked before a record is sent. @returns false when it was given up meanwhile, and must not be sent; rejects when the connection has ended */
  leave(sequence: number, signal: AbortSignal): Promise<boolean>
  /** The receiver has it. */
  arrived(sequence: number): void
  /** Whatever is on the wire may have arrived. */
  connectionLost(): void
  mayHaveLeft(sequence: number): boolean
  /**
   * Takes everything up to a sequence from the uplink, until the returned function is called. While some of it is on the wire: undefined, and
   * for a short time nothing more of it leaves, so that asking again succeeds.
   */
  take(throughSequence: number): (() => void) | undefined
}

interface Hold {
  through: number
  readonly ended: Promise<void>
  readonly end: () => void
  cancelExpiry: () => void
}

export function createRecordClaims(
  spool: Pick<Spool, 'sentThrough' | 'sentRanges' | 'nextSequence' | 'saveSent'>,
  clock: Clock,
  uncertainRecords = UNCERTAIN_RECORDS,
): RecordClaims {
  let left: { from: number; to: number }[] = []
  const wire = new Set<number>()
  let hold: Hold | undefined
  /** Records that left since what the cursor on the disk tells. */
  let unsaved = 0
  let saving: Promise<void> | undefined

  const saveSent = async () => {
    const before = unsaved
    // The spool says it, and tries again.
    await spool.saveSent().catch(() => undefined)
    unsaved -= before
    saving = undefined
  }
  const note = (from: number, to: number) => {
    const lower = left.filter((range) => range.to < from - 1 && range.to > spool.sentThrough)
    const higher = left.filter((range) => range.from > to + 1)
    const touched = left.filter((range) => range.to >= from - 1 && range.from <= to + 1)
    const joined = { from: Math.min(from, touched[0]?.from ?? from), to: Math.max(to, touched.at(-1)?.to ?? to) }
    left = [...lower, joined, ...higher]
    while (left.length > RANGES_MAX) joinNearest(left)
  }
  const mayHaveLeft = (sequence: number): boolean =>
    sequence <= spool.sentThrough ||
    left.some(({ from, to }) => from <= sequence && sequence <= to) ||
    spool.sentRanges.some(({ from, to }) => from <= sequence && sequence <= to)

  const startHold = (through: number): Hold => {
    let end: () => void = () => undefined
    const ended = new Promise<void>((resolve) => {
      end = () => {
        cancelExpiry()
        if (hold?.ended === ended) hold = undefined
        resolve()
      }
    })
    const cancelExpiry = clock.after(HOLD_MS_MAX, () => end())
    return { through, ended, end, cancelExpiry }
  }

  const last = spool.nextSequence - 1
  for (const range of [{ from: 1, to: spool.sentThrough }, ...spool.sentRanges]) {
    const to = Math.min(last, range.to + uncertainRecords)
    if (to >= range.from) note(range.from, to)
  }
  if (last > 0) note(Math.max(1, last - uncertainRecords + 1), last)
  return {
    async leave(sequence, signal) {
      if (unsaved >= uncertainRecords / 4) saving ??= saveSent()
      if (unsaved >= uncertainRecords / 2) await saving
      while (hold && sequence <= hold.through) await hold.ended
      signal.throwIfAborted()
      if (sequence <= spool.sentThrough) return false
      wire.add(sequence)
      unsaved += 1
      const newest = left.at(-1)
      if (newest && newest.to + 1 === sequence) newest.to = sequence
      else if (!mayHaveLeft(sequence)) note(sequence, sequence)
      return true
    },
    arrived: (sequence) => void wire.delete(sequence),
    connectionLost: () => wire.clear(),
    mayHaveLeft,
    take(throughSequence) {
      hold ??= startHold(throughSequence)
      hold.through = Math.max(hold.through, throughSequence)
      for (const sequence of wire) if (sequence <= throughSequence) return undefined
      hold.cancelExpiry()
      return hold.end
    },
  }
}

function joinNearest(ranges: { from: number; to: number }[]): void {
  let at = 1
  for (let i = 2; i < ranges.length; i++) if (distance(ranges, i) < distance(ranges, at)) at = i
  const [higher] = ranges.splice(at, 1)
  if (higher) (ranges[at - 1] as { to: number }).to = higher.to
}

const distance = (ranges: readonly { from: number; to: number }[], at: number): number =>
  (ranges[at]?.from ?? 0) - (ranges[at - 1]?.to ?? 0)
