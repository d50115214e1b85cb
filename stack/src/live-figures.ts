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
  /** Processes that do not run. */
  readonly down: readonly string[]
}

const RECENT_MS = 10_000

export interface AccountAnswer {
  readonly agents: readonly (AccountRow & { readonly agent: string })[]
  readonly total: AccountRow
}
export interface AccountRow {
  readonly produced: number
  readonly stored: number
  readonly deadLettered: number
  readonly shed: number
  readonly inFlight: number
  readonly missing: number
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

export interface AgentFigures {
  readonly backlogBatches: number
  readonly producedReadings: number
}

/** Produced is what the agents have taken (their own health included), the rest what the processor's account says of those agents. */
export function createLiveFigures(
  pipeline: Pipeline,
  latency: LatencyObserver,
  monotonicMs: () => number,
): () => Promise<LiveFigures> {
  const names = new Set(pipeline.agents.map((agent) => agent.name))
  /** By agent: one that is down keeps the figure that it had. */
  const produced = new Map<string, number>()
  let before: { produced: number; atMs: number } | undefined
  let last: LiveFigures | undefined
  return async () => {
    const [simulator, account, processor] = await Promise.all([
      askJson<SimulatorStatus>(`${pipeline.urls.simulator}/status`),
      askJson<AccountAnswer>(`${pipeline.urls.processor}/account`),
      askJson<{ openAlerts: number }>(`${pipeline.urls.processor}/status`),
    ])
    for (const url of pipeline.urls.agents) {
      const agent = await askJson<AgentFigures>(`${url}/status`)
      if (agent) produced.set(url, agent.producedReadings)
    }
    const atMs = monotonicMs()
    const measured = simulator?.producedReadings ?? before?.produced ?? 0
    const rate = before && atMs > before.atMs ? ((measured - before.produced) * 1000) / (atMs - before.atMs) : 0
    before = { produced: measured, atMs }
    const own = account?.agents.filter(({ agent }) => names.has(agent))
    const sum = (key: 'stored' | 'deadLettered' | 'shed' | 'missing') =>
      own?.reduce((total, row) => total + row[key], 0)
    const total = [...produced.values()].reduce((all, one) => all + one, 0)
    const stored = sum('stored') ?? last?.stored ?? 0
    const deadLettered = sum('deadLettered') ?? last?.deadLettered ?? 0
    const shed = sum('shed') ?? last?.shed ?? 0
    last = {
      readingsPerSecond: Math.max(0, rate),
      produced: total,
      stored,
      deadLettered,
      shed,
      inFlight: Math.max(0, total - stored - deadLettered - shed - (sum('missing') ?? 0)),
      p50Ms: latency.recent(0.5, RECENT_MS),
      p99Ms: latency.recent(0.99, RECENT_MS),
      openAlerts: processor?.openAlerts ?? last?.openAlerts ?? 0,
      down: pipeline.processes.filter((p) => !p.running).map((p) => p.name),
    }
    return last
  }
}
