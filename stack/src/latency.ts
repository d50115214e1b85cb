/**
 * Latency from measurement to queryable, seen from outside: asks the database over and over for the newest reading of each
 * device. What became visible between two looks is counted as seen at the later one, so the figure errs by at most one
 * interval, and upwards. A reading that arrives after a newer one of its device (a resend) is not seen by this.
 */
import type { InfluxQuery } from '@tributary/cloud-processor'
import { type Clock, every } from '@tributary/runtime'

export interface LatencyObserver {
  run(signal: AbortSignal): Promise<void>
  /** Milliseconds; undefined before anything was seen. */
  quantile(share: number): number | undefined
  /** Over the last `durationMs` only. */
  recent(share: number, durationMs: number): number | undefined
  readonly newest: ReadonlyMap<string, { sequence: number; timeMs: number }>
}

const LOOK_MS = 200
const SAMPLES_MAX = 200_000
/** Of one device's readings between two looks, at most so many are entered, each standing for its share. */
const ENTRIES_PER_LOOK_MAX = 25

interface Entry {
  readonly latencyMs: number
  readonly weight: number
  readonly atMs: number
}

export function createLatencyObserver(
  query: InfluxQuery,
  kinds: readonly string[],
  clock: Clock,
  lookMs = LOOK_MS,
): LatencyObserver {
  const newest = new Map<string, { sequence: number; timeMs: number }>()
  /** By device, the shortest mean distance of two samples: behind a pause they are not spread over the pause. */
  const stepsMs = new Map<string, number>()
  let entries: Entry[] = []
  const from = kinds.map((kind) => `"${kind}"`).join(', ')

  const look = async (signal: AbortSignal) => {
    const series = await query(
      `SELECT last("sequence") FROM ${from} WHERE time > now() - 30s GROUP BY "device"`,
      signal,
    ).catch(() => [])
    const atMs = clock.wallMs()
    for (const { tags, values } of series) {
      const device = tags?.['device'] ?? ''
      const [timeMs, sequence] = (values[0] ?? []) as [number, number]
      if (typeof timeMs !== 'number' || typeof sequence !== 'number') continue
      const before = newest.get(device)
      if (before && timeMs <= before.timeMs) continue
      newest.set(device, { sequence, timeMs })
      if (!before) continue
      const samples = Math.max(1, sequence - before.sequence)
      const count = Math.min(samples, ENTRIES_PER_LOOK_MAX)
      const stepMs = Math.min(stepsMs.get(device) ?? Number.POSITIVE_INFINITY, (timeMs - before.timeMs) / samples)
      stepsMs.set(device, stepMs)
      for (let i = 1; i <= count; i++) {
        const measuredAtMs = timeMs - samples * stepMs * (1 - i / count)
        entries.push({ latencyMs: Math.max(0, atMs - measuredAtMs), weight: samples / count, atMs })
      }
    }
    if (entries.length > SAMPLES_MAX)
      entries = entries.filter((_, i) => i % 2 === 0).map((e) => ({ ...e, weight: e.weight * 2 }))
  }
  return {
    newest,
    run: (signal) => every(lookMs, () => look(signal), { clock, signal }),
    quantile: (share) => weightedQuantile(entries, share),
    recent: (share, durationMs) =>
      weightedQuantile(
        entries.filter((e) => e.atMs >= clock.wallMs() - durationMs),
        share,
      ),
  }
}

/** The smallest latency with at least `share` of the weight at or below it. */
export function weightedQuantile(
  entries: readonly { latencyMs: number; weight: number }[],
  share: number,
): number | undefined {
  const sorted = [...entries].sort((a, b) => a.latencyMs - b.latencyMs)
  const total = sorted.reduce((sum, e) => sum + e.weight, 0)
  let reached = 0
  for (const entry of sorted) {
    reached += entry.weight
    if (reached >= total * share) return entry.latencyMs
  }
  return undefined
}
