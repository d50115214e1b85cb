/** Seeded randomness: the same seed deals the same faults, victims and times in the same order. */

export interface Random {
  /** From 0 up to, not including, 1. */
  next(): number
  between(low: number, high: number): number
  pick<T>(list: readonly T[]): T
  shuffle<T>(list: readonly T[]): T[]
}

/** mulberry32: 32 bits of state are plenty for some thousand draws. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    between: (low, high) => low + next() * (high - low),
    pick(list) {
      if (list.length === 0) throw new RangeError('nothing to pick from')
      return list[Math.floor(next() * list.length)] as (typeof list)[number]
    },
    shuffle(list) {
      const shuffled = [...list]
      for (let i = shuffled.length - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1))
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
