/** How long something took, the newest few thousand times; and what is under way, until it is there. Bounded. */
const KEPT = 4_096

export interface Latencies {
  /** One that is below zero (two machines' clocks differ) counts as none. */
  add(latencyMs: number): void
  /** Of those kept; undefined while there is none. */
  quantile(share: number): number | undefined
  /** Of those since the last call, or of the newest of them. */
  take(): { readonly p50: number | undefined; readonly p99: number | undefined }
}

export function createLatencies(): Latencies {
  const kept = new Float64Array(KEPT)
  let count = 0
  const sorted = () => kept.slice(0, Math.min(count, KEPT)).sort()
  const rank = (of: Float64Array, share: number) => of[Math.min(of.length - 1, Math.floor(share * of.length))]
  return {
    add(latencyMs) {
      kept[count++ % KEPT] = Math.max(0, latencyMs)
    },
    quantile: (share) => rank(sorted(), share),
    take() {
      const taken = sorted()
      count = 0
      return { p50: rank(taken, 0.5), p99: rank(taken, 0.99) }
    },
  }
}

export interface Stage extends Pick<Latencies, 'take'> {
  /** What has this key is under way since then, monotonic clock. Beyond 4,096 the one that began first is not measured. */
  began(key: number, atMs: number): void
  ended(key: number, atMs: number): void
  /** It takes another way, which says nothing of this one. */
  left(key: number): void
}

/** One stage of the way that data take. */
export function createStage(): Stage {
  const latencies = createLatencies()
  const underWay = new Map<number, number>()
  return {
    take: latencies.take,
    began(key, atMs) {
      underWay.set(key, atMs)
      if (underWay.size > KEPT) underWay.delete(underWay.keys().next().value as number)
    },
    ended(key, atMs) {
      const sinceMs = underWay.get(key)
      if (sinceMs === undefined) return
      underWay.delete(key)
      latencies.add(atMs - sinceMs)
    },
    left: (key) => void underWay.delete(key),
  }
}
