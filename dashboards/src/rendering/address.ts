/** The address of a view: `/d/<uid>/<slug>?from=…&to=…&refresh=…&var-site=…&theme=…`, as in Grafana; instead of a range, `time` and `time.window` in milliseconds: so much around it. */
import type { RawRange } from './time-range.ts'

export interface Address {
  /** '' for none. */
  readonly uid: string
  readonly range: RawRange | undefined
  /** "5s", or '' for off; undefined for the dashboard's own. */
  readonly refresh: string | undefined
  /** Name → selected values. */
  readonly variables: Readonly<Record<string, readonly string[]>>
  readonly theme: 'dark' | 'light' | undefined
}

export function parseAddress(url: URL): Address {
  const [, first, uid = ''] = url.pathname.split('/')
  const query = url.searchParams
  const from = query.get('from')
  const to = query.get('to')
  const theme = query.get('theme')
  const variables: Record<string, string[]> = {}
  for (const [key, value] of query)
    if (key.startsWith('var-') && value !== '') {
      variables[key.slice(4)] ??= []
      variables[key.slice(4)]?.push(value)
    }
  return {
    uid: first === 'd' ? decodeURIComponent(uid) : '',
    range: from && to ? { from, to } : aroundOf(query),
    refresh: query.get('refresh') ?? undefined,
    variables,
    theme: theme === 'dark' || theme === 'light' ? theme : undefined,
  }
}

function aroundOf(query: URLSearchParams): RawRange | undefined {
  const [timeMs, windowMs] = [query.get('time'), query.get('time.window')].map((text) => Number(text || Number.NaN))
  if (timeMs === undefined || windowMs === undefined || !(timeMs >= 0 && windowMs > 0)) return undefined
  return { from: String(Math.round(timeMs - windowMs / 2)), to: String(Math.round(timeMs + windowMs / 2)) }
}

export function formatAddress({ uid, range, refresh, variables, theme }: Address): string {
  const query = new URLSearchParams()
  if (range) {
    query.set('from', range.from)
    query.set('to', range.to)
  }
  if (refresh !== undefined) query.set('refresh', refresh)
  for (const [name, values] of Object.entries(variables)) for (const value of values) query.append(`var-${name}`, value)
  if (theme) query.set('theme', theme)
  const text = query.toString()
  return `/d/${encodeURIComponent(uid)}${text ? `?${text}` : ''}`
}
