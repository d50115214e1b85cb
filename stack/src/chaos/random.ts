/** Seeded randomness: the same seed deals the same faults, victims and times in the same order. */
import { createRandom as createNumbers, type Random as Numbers } from '@tributary/runtime'

export interface Random extends Numbers {
  between(low: number, high: number): number
  pick<T>(list: readonly T[]): T
  shuffle<T>(list: readonly T[]): T[]
}

export function createRandom(seed: number): Random {
  const { next, below } = createNumbers(seed)
  return {
    next,
    below,
    between: (low, high) => low + next() * (high - low),
    pick(list) {
      if (list.length === 0) throw new RangeError('nothing to pick from')
      return list[below(list.length)] as (typeof list)[number]
    },
    shuffle(list) {
      const shuffled = [...list]
      for (let i = shuffled.length - 1; i > 0; i--) {
        const j = below(i + 1)
        ;[shuffled[i], shuffled[j]] = [shuffled[j] as (typeof list)[number], shuffled[i] as (typeof list)[number]]
      }
      return shuffled
    },
  }
}

/**
 * Deals from a shuffled deck, and from a fresh one when it is used up: after n decks each card has come n times, whatever the seed.
 * A card does not follow itself where one deck meets the next.
 */
export function createDealer<T>(cards: readonly T[], random: Random): () => T {
  let deck: T[] = []
  let last: T | undefined
  return () => {
    if (deck.length === 0) {
      deck = random.shuffle(cards)
      if (deck.length > 1 && deck[0] === last) deck.push(deck.shift() as T)
    }
    last = deck.shift() as T
    return last
  }
}
