/**
 * Gives samples without a time of their own the time of arrival.
 *
 * Guarantee: two samples of one device and kind never get the same stamp, because the store keeps one point for a series and a
 * time; and stamps do not run backwards when the clock steps back by less than `STEP_BACK_MS_MAX`. A larger step is the
 * clock being set, and is followed.
 */

const STEP_BACK_MS_MAX = 60_000
/** Series remembered; beyond it the one that was quiet for longest is forgotten. */
const SERIES_MAX = 4_096

export interface Stamper {
  /** @returns milliseconds since 1970 */
  stamp(device: string, kind: string, arrivedAtMs: number): number
  /** Readings stamped so far are corrected by so much: what follows them follows that. */
  shift(shiftMs: number): void
}

export function createStamper(): Stamper {
  const lastMs = new Map<string, number>()
  return {
    stamp(device, kind, arrivedAtMs) {
      const key = `${device} ${kind}`
      const last = lastMs.get(key)
      const arrived = Math.floor(arrivedAtMs)
      const stamped = last === undefined || arrived > last || arrived < last - STEP_BACK_MS_MAX ? arrived : last + 1
      lastMs.delete(key)
      lastMs.set(key, stamped)
      if (lastMs.size > SERIES_MAX) lastMs.delete(lastMs.keys().next().value as string)
      return stamped
    },
    shift(shiftMs) {
      for (const [key, stamped] of lastMs) lastMs.set(key, stamped + shiftMs)
    },
  }
}
