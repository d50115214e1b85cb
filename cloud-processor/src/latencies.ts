/** Times from measurement to stored, the newest few thousand. */
const KEPT = 4_096

export interface Latencies {
  add(latenciesMs: readonly number[]): void
  /** undefined while there is none */
  quantile(share: number): number | undefined
}

export function createLatencies(): Latencies {
  const kept = new Float64Array(KEPT)
  let count = 0
  return {
    add(latenciesMs) {
      for (const latency of latenciesMs) kept[count++ % KEPT] = latency
    },
    quantile(share) {
      if (count === 0) return undefined
      const sorted = kept.slice(0, Math.min(count, KEPT)).sort()
      return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
    },
  }
}
