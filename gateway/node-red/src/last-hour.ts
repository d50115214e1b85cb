/** The last hour of a series, a mean a minute: what a sparkline is drawn from. 1.2 KB, whatever the rate. */
const MINUTE_MS = 60_000
export const MINUTES = 60

export interface LastHour {
  add(timeMs: number, value: number): void
  /** Oldest first, the minute of `nowMs` last; null where there was none. */
  means(nowMs: number): (number | null)[]
}

export function createLastHour(): LastHour {
  const minutes = new Float64Array(MINUTES).fill(-1)
  const sums = new Float64Array(MINUTES)
  const counts = new Uint32Array(MINUTES)
  return {
    add(timeMs, value) {
      const minute = Math.floor(timeMs / MINUTE_MS)
      const at = minute % MINUTES
      if (minute < (minutes[at] as number)) return
      if (minute > (minutes[at] as number)) {
        minutes[at] = minute
        sums[at] = 0
        counts[at] = 0
      }
      sums[at] = (sums[at] as number) + value
      counts[at] = (counts[at] as number) + 1
    },
    means(nowMs) {
      const last = Math.floor(nowMs / MINUTE_MS)
      return Array.from({ length: MINUTES }, (_, i) => {
        const minute = last - MINUTES + 1 + i
        const at = minute % MINUTES
        return minutes[at] === minute ? (sums[at] as number) / (counts[at] as number) : null
      })
    },
  }
}
