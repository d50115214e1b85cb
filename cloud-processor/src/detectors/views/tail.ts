/**
 * How rare is a size, by what was seen of the series' own upper tail? A level that a twentieth of all sizes passes is tracked, and
 * the mean excess beyond it; beyond the level the tail is taken to be a generalised Pareto distribution of shape SHAPE (peaks over
 * threshold: Pickands 1975). Strange sizes teach by a share only (an excess counts up to CLIP mean excesses), so that anomalies
 * which recur, as long as they are fewer than some two in a hundred, stay rare.
 *
 * What sums up many readings changes slowly: the tail of such sizes learns as much more slowly, or it would follow a single episode
 * and find nothing rare in it.
 */
export interface Tail {
  count: number
  level: number
  /** Mean excess beyond the level. */
  excess: number
  excesses: number
  mean: number
  /** Share of sizes beyond the level. */
  share: number
}

export const startTail = (): Tail => ({ count: 0, level: 0, excess: 0, excesses: 0, mean: 0, share: SHARE })

const SHARE = 0.05
const SHARE_MIN = 1e-4
export const SHAPE = 0.25
const CLIP = 2
const COUNT_MIN = 30
const MEMORY = 2_000
const EXCESS_MEMORY = 25

/**
 * Decimal orders of magnitude of 1/probability, from what came before; then learns the size.
 * @param size 0 or more
 * @param alike so many sizes in a row tell nearly the same
 */
export function rarityOf(tail: Tail, size: number, alike = 1): number {
  const known = tail.count >= COUNT_MIN
  const beyond = size - tail.level
  let rarity = 0
  if (known) {
    const ofLevel = -Math.log10(Math.max(tail.share, SHARE_MIN))
    if (beyond > 0)
      rarity = ofLevel + (tail.excess > 0 ? Math.log1p((SHAPE * beyond) / tail.excess) / (SHAPE * Math.LN10) : 0)
    else if (tail.level > 0) rarity = (ofLevel * size) / tail.level
  }
  tail.count += 1
  const clip = CLIP * tail.excess
  const taught = known && beyond > clip ? tail.level + clip : size
  tail.mean += (taught - tail.mean) * Math.max(1 / tail.count, 1 / (MEMORY * Math.sqrt(alike)))
  tail.share += ((beyond > 0 ? 1 : 0) - tail.share) * Math.max(1 / (tail.count + 20), 1 / MEMORY)
  const step = tail.mean * Math.max(0.02 / alike, 4 / (tail.count + 3))
  if (beyond > 0) {
    tail.excesses += 1
    tail.excess += (taught - tail.level - tail.excess) * Math.max(1 / tail.excesses, 1 / (EXCESS_MEMORY * alike))
    tail.level += step * (1 - SHARE)
  } else tail.level = Math.max(0, tail.level - step * SHARE)
  tail.excess = Math.max(tail.excess, tail.mean / 50)
  return rarity
}

/** The size that is just so rare, and no less than the level: `rarityOf` the other way round. Infinite when none is, as before sizes differ. */
export function sizeOfRarity({ level, excess, share }: Tail, rarity: number): number {
  const beyond = rarity + Math.log10(Math.max(share, SHARE_MIN))
  if (beyond <= 0) return level
  return excess > 0 ? level + (excess / SHAPE) * Math.expm1(beyond * SHAPE * Math.LN10) : Number.POSITIVE_INFINITY
}
