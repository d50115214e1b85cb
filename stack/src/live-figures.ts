/** What the running pipeline says of itself, gathered from its admin servers once a second. */
import type { LatencyObserver } from './latency.ts'
import type { Pipeline } from './pipeline.ts'

export interface LiveFigures {
  readonly readingsPerSecond: number
  readonly produced: number
  readonly stored: number
  readonly deadLettered: number
  readonly shed: number
  readonly inFlight: number
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  readonly openAlerts: number
  readonly unacknowledgedSamples: number
  readonly measuring: boolean
  /** Processes that do not run. */
  readonly down: readonly string[]
}

const RECENT_MS = 10_000

export interface AccountAnswer {
  readonly agents: readonly { agent: string; produced: number; inFlight: number; missing: number }[]
  readonly total: {
    produced: number
    stored: number
    deadLettered: number
    shed: number
    inFlight: number
    missing: number
  }
}
export interface SimulatorStatus {
  readonly producedReadings: number
  readonly unacknowledgedSamples: number
  readonly measuring: boolean
}

export async function askJson<T>(url: string): Promise<T | undefined> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined)
  return response?.ok ? ((await response.json().catch(() => undefined)) as T | undefined) : undefined
}

export function createLiveFigures(
  pipeline: Pipeline,
  latency: LatencyObserver,
  monotonicMs: () => number,
): () => Promise<LiveFigures> {
  let before: { produced: number; atMs: number } | undefined
  let last: LiveFigures | undefined
  return async () => {
    const [simulator, account, processor] = await Promise.all([
      askJson<SimulatorStatus>(`${pipeline.urls.simulator}/status`),
      askJson<AccountAnswer>(`${pipeline.urls.processor}/account`),
      askJson<{ openAlerts: number }>(`${pipeline.urls.processor}/status`),
    ])
    const atMs = monotonicMs()
    const produced = simulator?.producedReadings ?? last?.produced ?? 0
    const rate = before && atMs > before.atMs ? ((produced - before.produced) * 1000) / (atMs - before.atMs) : 0
    before = { produced, atMs }
    const total = account?.total
    last = {
      readingsPerSecond: Math.max(0, rate),
      produced,
      stored: total?.stored ?? last?.stored ?? 0,
      deadLettered: total?.deadLettered ?? last?.deadLettered ?? 0,
      shed: total?.shed ?? last?.shed ?? 0,
      inFlight: total?.inFlight ?? last?.inFlight ?? 0,
      p50Ms: latency.recent(0.5, RECENT_MS),
      p99Ms: latency.recent(0.99, RECENT_MS),
      openAlerts: processor?.openAlerts ?? last?.openAlerts ?? 0,
      unacknowledgedSamples: simulator?.unacknowledgedSamples ?? 0,
      measuring: simulator?.measuring ?? false,
      down: pipeline.processes.filter((p) => !p.running).map((p) => p.name),
    }
    return last
  }
}
