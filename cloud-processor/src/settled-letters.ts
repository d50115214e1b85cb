/**
 * Guarantee: a dead letter is requeued or dropped once, in whatever order and however often that is asked for. A letter that is
 * refused again is the next generation of the same letter (`requeued` counts them); of each letter is remembered how many
 * generations are over, by sequence and index in its epoch.
 * Bounded: beyond `SETTLED_MAX` letters of an epoch the half with the lowest sequences is forgotten, and nothing of those sequences is
 * requeued any more, since nobody could tell whether it was. Requests come oldest first, so that there is no limit to how
 * many letters can be requeued in one go.
 */
import type { DeadLetter } from '@tributary/protocol'

export const SETTLED_MAX = 16_384

export interface SettledLetters {
  /** Letters of sequences up to this one stay what they are. */
  forgottenThrough: number
  /** `sequence/index` → generations that are over. */
  readonly generations: Map<string, number>
}

export const createSettledLetters = (): SettledLetters => ({ forgottenThrough: 0, generations: new Map() })

type Named = Pick<DeadLetter, 'id' | 'sequence' | 'requeued'>

/** Its place in the batch: what comes after agent, epoch and sequence. */
export const indexOf = ({ id }: Pick<DeadLetter, 'id'>): string => id.split('/').slice(3).join('/')
const keyOf = (letter: Named): string => `${letter.sequence}/${indexOf(letter)}`

export const wasForgotten = ({ forgottenThrough }: SettledLetters, { sequence }: Named): boolean =>
  sequence <= forgottenThrough

export const isSettled = ({ generations }: SettledLetters, letter: Named): boolean =>
  (letter.requeued ?? 0) < (generations.get(keyOf(letter)) ?? 0)

export function noteSettled(settled: SettledLetters, letter: Named): void {
  const { generations } = settled
  generations.set(keyOf(letter), (letter.requeued ?? 0) + 1)
  if (generations.size <= SETTLED_MAX) return
  const sequenceOf = (key: string) => Number(key.slice(0, key.indexOf('/')))
  const ascending = [...generations.keys()].map(sequenceOf).sort((a, b) => a - b)
  settled.forgottenThrough = ascending[ascending.length >> 1] as number
  for (const key of generations.keys()) if (sequenceOf(key) <= settled.forgottenThrough) generations.delete(key)
}
