/**
 * Passes read-only InfluxQL on to InfluxDB, with limits on time, bytes, rows and queries at once. Answers are asked for in pieces:
 * InfluxDB then never holds more than one of them, and stops when a limit is reached (a whole answer it builds in memory).
 */
import { type Clock, messageOf } from '@tributary/runtime'
import { errorOf, joinedAnswer } from './influx-answer.ts'
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
  /** At once; as many as `waitingMax` more wait for their turn, and the rest is refused. */
  readonly queriesMax: number
  readonly waitingMax: number
}
export const PROXY_LIMITS: ProxyLimits = {
  queryMsMax: 20_000,
  answerBytesMax: 32 * 1024 * 1024,
  answerRowsMax: 200_000,
  queriesMax: 16,
  waitingMax: 240,
}

const ROWS_PER_PIECE = 10_000

export interface ProxyAnswer {
  readonly status: number
  /** JSON: InfluxDB's answer, or `{error}`. */
  readonly body: string
}

/** @returns never rejects, except when `signal` aborts because nobody waits for the answer any more */
export type QueryProxy = (query: string, signal: AbortSignal) => Promise<ProxyAnswer>

export function createQueryProxy(influx: InfluxAccess, clock: Clock, limits: ProxyLimits = PROXY_LIMITS): QueryProxy {
  const places = createPlaces(limits)
  return async (query, signal) => {
    let statement: string
    try {
      statement = readOnlyStatement(query, influx.database)
    } catch (error) {
      if (error instanceof RefusedQuery) return failure(400, `refused: ${error.message}`)
      throw error
    }
    if (places.isFull)
      return failure(503, `${limits.queriesMax + limits.waitingMax} queries are asked already; try again`)
    const timedOut = new AbortController()
    const cancelTimer = clock.after(limits.queryMsMax, () => timedOut.abort())
    const ended = AbortSignal.any([signal, timedOut.signal])
    let leave: (() => void) | undefined
    try {
      leave = await places.take(ended)
      return await ask(influx, statement, limits, ended)
    } catch (error) {
      if (signal.aborted) throw error
      if (timedOut.signal.aborted)
        return failure(504, `no answer within ${limits.queryMsMax / 1000} s; choose a shorter time range`)
      const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error)
      return failure(502, `InfluxDB at ${influx.url} does not answer (${cause})`)
    } finally {
      cancelTimer()
      leave?.()
    }
  }
}

/** So many may run at once; the others wait in the order in which they came. */
function createPlaces({ queriesMax, waitingMax }: ProxyLimits) {
  const waiting: (() => void)[] = []
  let running = 0
  const leave = () => {
    const next = waiting.shift()
    if (next) next()
    else running--
  }
  return {
    get isFull() {
      return running >= queriesMax && waiting.length >= waitingMax
    },
    /** @returns what gives the place back. @throws when `signal` aborts before there is one */
    async take(signal: AbortSignal): Promise<() => void> {
      if (running < queriesMax) {
        running++
        return leave
      }
      await new Promise<void>((resolve, reject) => {
        const giveUp = () => {
          waiting.splice(waiting.indexOf(enter), 1)
          reject(signal.reason)
        }
        const enter = () => {
          signal.removeEventListener('abort', giveUp)
          resolve()
        }
        if (signal.aborted) {
          reject(signal.reason)
          return
        }
        waiting.push(enter)
        signal.addEventListener('abort', giveUp, { once: true })
      })
      return leave
    },
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
  url.searchParams.set('chunked', 'true')
  url.searchParams.set('chunk_size', String(ROWS_PER_PIECE))
  url.searchParams.set('q', statement)
  const response = await fetch(url, { headers: { accept: 'application/json', ...authorization(influx.auth) }, signal })
  const text = await readAtMost(response, limits.answerBytesMax)
  if (text === undefined)
    return failure(413, `the answer is larger than ${limits.answerBytesMax / 2 ** 20} MiB; choose a shorter time range`)
  const answer = joinedAnswer(text)
  if (response.status === 401 || response.status === 403)
    return failure(502, `InfluxDB refuses our credentials: ${answer?.error ?? response.statusText}`)
  const error = errorOf(answer)
  if (error) return failure(400, `InfluxDB says: ${error}`)
  if (!response.ok || !answer) return failure(502, `InfluxDB answered with ${response.status} and no JSON`)
  const series = (answer.results ?? []).flatMap((r) => r.series ?? [])
  const rows = series.reduce((n, s) => n + (s.values?.length ?? 0), 0)
  if (rows > limits.answerRowsMax)
    return failure(413, `the answer has ${rows} rows, over ${limits.answerRowsMax}; choose a shorter time range`)
  const isOnePiece = !text.trimEnd().includes('\n')
  return { status: 200, body: isOnePiece ? text : JSON.stringify(answer) }
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
