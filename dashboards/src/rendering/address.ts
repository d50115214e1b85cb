/** The address of a view: `/d/<uid>/<slug>?from=…&to=…&refresh=…&var-site=…&theme=…`, as in Grafana. */
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
    range: from && to ? { from, to } : undefined,
    refresh: query.get('refresh') ?? undefined,
    variables,
    theme: theme === 'dark' || theme === 'light' ? theme : undefined,
  }
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
