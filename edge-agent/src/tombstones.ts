/** Tombstones of what the agent gives up itself, and what becomes of those that stood in records that go. */
import type { Tombstone } from '@tributary/protocol'

/** How little is left of the readings: in windows of 10 s, of a minute, nothing. */
const GIVEN_UP = ['rolled_up_10s', 'rolled_up_1m', 'shed'] as const
export type GivenUp = (typeof GIVEN_UP)[number]
export const isGivenUp = (reason: string): reason is GivenUp => (GIVEN_UP as readonly string[]).includes(reason)

/** Ascending; neighbours of one epoch and reason become one. Ranges must not overlap. */
export function joinTombstones(tombstones: readonly Tombstone[]): Tombstone[] {
  const joined: Tombstone[] = []
  const ascending = [...tombstones].sort((a, b) =>
    a.epoch === b.epoch ? a.fromSequence - b.fromSequence : a.epoch < b.epoch ? -1 : 1,
  )
  for (const stone of ascending) {
    const last = joined.at(-1)
    if (
      last &&
      last.epoch === stone.epoch &&
      last.reason === stone.reason &&
      last.toSequence + 1 === stone.fromSequence
    )
      joined[joined.length - 1] = {
        ...last,
        toSequence: stone.toSequence,
        readingCount: last.readingCount + stone.readingCount,
      }
    else joined.push(stone)
  }
  return joined
}
