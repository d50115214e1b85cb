/** Passes read-only InfluxQL on to InfluxDB, with limits on time, bytes, rows and queries at once. */
import { type Clock, messageOf } from '@tributary/runtime'
import { RefusedQuery, readOnlyStatement } from './read-only-influxql.ts'

export interface InfluxAccess {
  readonly url: string
  /** Database; for 2.x the name that the buckets are mapped to. */
  readonly database: string
  readonly version: 1 | 2
  readonly auth: InfluxAuth
}
export type InfluxAuth =
  | { readonly kind: 'none' }
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string }

export interface ProxyLimits {
  readonly queryMsMax: number
  readonly answerBytesMax: number
  readonly answerRowsMax: number
  readonly queriesMax: number
}
export const PROXY_LIMITS: ProxyLimits = {
  queryMsMax: 20_000,
  answerBytesMax: 32 * 1024 * 1024,
  answerRowsMax: 200_000,
  queriesMax: 32,
}

export interface ProxyAnswer {
  readonly status: number
  /** JSON: InfluxDB's answer, or `{error}`. */
  readonly body: string
}

/** @returns never rejects, except when `signal` aborts because nobody waits for the answer any more */
export type QueryProxy = (query: string, signal: AbortSignal) => Promise<ProxyAnswer>

export function createQueryProxy(influx: InfluxAccess, clock: Clock, limits: ProxyLimits = PROXY_LIMITS): QueryProxy {
  let running = 0
  return async (query, signal) => {
    let statement: string
    try {
      statement = readOnlyStatement(query, influx.database)
    } catch (error) {
      if (error instanceof RefusedQuery) return failure(400, `refused: ${error.message}`)
      throw error
    }
    if (running >= limits.queriesMax) return failure(503, `${running} queries are running already; try again`)
    running++
    const timedOut = new AbortController()
    const cancelTimer = clock.after(limits.queryMsMax, () => timedOut.abort())
    try {
      return await ask(influx, statement, limits, AbortSignal.any([signal, timedOut.signal]))
    } catch (error) {
      if (signal.aborted) throw error
      if (timedOut.signal.aborted)
        return failure(504, `no answer within ${limits.queryMsMax / 1000} s; choose a shorter time range`)
      const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error)
      return failure(502, `InfluxDB at ${influx.url} does not answer (${cause})`)
    } finally {
      cancelTimer()
      running--
    }
  }
}

const failure = (status: number, error: string): ProxyAnswer => ({ status, body: JSON.stringify({ error }) })

async function ask(
  influx: InfluxAccess,
  statement: string,
  limits: ProxyLimits,
  signal: AbortSignal,
): Promise<ProxyAnswer> {
  const url = new URL(`${influx.url.replace(/\/+$/, '')}/query`)
  url.searchParams.set('db', influx.database)
  url.searchParams.set('epoch', 'ms')
  url.searchParams.set('q', statement)
  const response = await fetch(url, { headers: { accept: 'application/json', ...authorization(influx.auth) }, signal })
  const text = await readAtMost(response, limits.answerBytesMax)
  if (text === undefined)
    return failure(413, `the answer is larger than ${limits.answerBytesMax / 2 ** 20} MiB; choose a shorter time range`)
  const answer = parseAnswer(text)
  if (response.status === 401 || response.status === 403)
    return failure(502, `InfluxDB refuses our credentials: ${answer?.error ?? response.statusText}`)
  const error = answer?.error ?? answer?.message ?? answer?.results?.find((r) => r.error)?.error
  if (error) return failure(400, `InfluxDB says: ${error}`)
  if (!response.ok || !answer) return failure(502, `InfluxDB answered with ${response.status} and no JSON`)
  const rows = (answer.results ?? []).flatMap((r) => r.series ?? []).reduce((n, s) => n + (s.values?.length ?? 0), 0)
  if (rows > limits.answerRowsMax)
    return failure(413, `the answer has ${rows} rows, over ${limits.answerRowsMax}; choose a shorter time range`)
  return { status: 200, body: text }
}

function authorization(auth: InfluxAuth): Record<string, string> {
  if (auth.kind === 'token') return { authorization: `Token ${auth.token}` }
  if (auth.kind === 'password')
    return { authorization: `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString('base64')}` }
  return {}
}

/** @returns undefined when it is longer; the rest is not read */
async function readAtMost(response: Response, bytesMax: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  if (!response.body) return ''
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > bytesMax) {
      await response.body.cancel().catch(() => undefined)
      return undefined
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

interface InfluxAnswer {
  readonly error?: string
  readonly message?: string
  readonly results?: readonly {
    readonly error?: string
    readonly series?: readonly { readonly values?: readonly unknown[] }[]
  }[]
}
function parseAnswer(text: string): InfluxAnswer | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as InfluxAnswer) : undefined
  } catch {
    return undefined
  }
}
