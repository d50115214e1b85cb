/** Asks the server: each question once a round, and not any more when nobody waits for the answer. */
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

/** @param signal of the one who asks; the query itself ends when all who asked it have gone */
export type Ask = (query: string, signal: AbortSignal) => Promise<InfluxAnswer>

/** One round of refreshing: the same query is sent once, however many panels have it. */
export function createRound(): Ask {
  const asked = new Map<string, { answer: Promise<InfluxAnswer>; waiting: number; query: AbortController }>()
  return async (text, signal) => {
    signal.throwIfAborted()
    const query = new AbortController()
    const entry = asked.get(text) ?? {
      answer: get<InfluxAnswer>(`/api/query?q=${encodeURIComponent(text)}`, query.signal),
      waiting: 0,
      query,
    }
    asked.set(text, entry)
    entry.waiting++
    const leave = () => {
      if (--entry.waiting > 0) return
      entry.query.abort()
      asked.delete(text)
    }
    signal.addEventListener('abort', leave, { once: true })
    try {
      return await entry.answer
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }
}
