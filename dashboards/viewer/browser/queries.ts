/** Asks the server, each question once a round. */
import type { DashboardJson } from '../../src/rendering/dashboard-json.ts'
import type { InfluxAnswer } from '../../src/rendering/frames.ts'

export interface DashboardSummary {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly tags: readonly string[]
}

async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, signal ? { signal } : {}).catch((error) => {
    if (signal?.aborted) throw error
    throw new Error('The viewer does not answer. Is it still running?')
  })
  const body: unknown = await response.json().catch(() => undefined)
  if (!response.ok)
    throw new Error((body as { error?: string } | undefined)?.error ?? `${path} answered with ${response.status}`)
  return body as T
}

export const fetchDashboards = (): Promise<DashboardSummary[]> => get('/api/dashboards')
export const fetchDashboard = (uid: string): Promise<DashboardJson> => get(`/api/dashboards/${encodeURIComponent(uid)}`)

export type Ask = (query: string) => Promise<InfluxAnswer>

/** One round of refreshing: the same query is sent once, however many panels have it. */
export function createRound(signal: AbortSignal): Ask {
  const asked = new Map<string, Promise<InfluxAnswer>>()
  return (query) => {
    const before = asked.get(query)
    if (before) return before
    const answer = get<InfluxAnswer>(`/api/query?q=${encodeURIComponent(query)}`, signal)
    asked.set(query, answer)
    return answer
  }
}
