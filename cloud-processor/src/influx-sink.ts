/**
 * Guarantee: when `write` resolves, every line is in the store; when it rejects with PartialWriteError, all but the named
 * ones are. Everything else it tries again until the signal aborts: nothing is given up because the database is away.
 * Writes are upserts, so halves of a refused request can be written again to find the lines at fault.
 */
import { type Backoff, backoffDelayMs, type Clock, type Logger } from '@tributary/runtime'
import { createInfluxConnection, describeInfluxError, type InfluxOptions } from './influx-connection.ts'
import type { LineBuffer } from './line-protocol.ts'

export type LineRefusalReason =
  | 'field_type_conflict'
  | 'out_of_retention'
  | 'malformed_line'
  | 'series_limit'
  | 'refused'

export interface LineRefusal {
  readonly reason: LineRefusalReason
  /** What InfluxDB said. */
  readonly detail: string
}

/** Some lines will never be taken; all others were. */
export class PartialWriteError extends Error {
  override readonly name = 'PartialWriteError'
  /** Index of the line → why. */
  readonly rejected: ReadonlyMap<number, LineRefusal>
  constructor(rejected: ReadonlyMap<number, LineRefusal>) {
    super(`InfluxDB refused ${rejected.size} ${rejected.size === 1 ? 'line' : 'lines'}`)
    this.rejected = rejected
  }
}

export type RetentionTarget = 'raw' | 'rollup'

export interface InfluxStatus {
  readonly url: string
  readonly version: string
  readonly ok: boolean
  readonly error: string | undefined
}

export interface InfluxSink {
  write(lines: LineBuffer, target: RetentionTarget, signal: AbortSignal): Promise<void>
  status(): InfluxStatus
  /** Makes database and retention policies (2.x: buckets) when they are missing; tried until it works. */
  prepare(signal: AbortSignal): Promise<void>
  readonly retries: number
  readonly linesWritten: number
  /** Milliseconds of the last request. */
  readonly lastWriteMs: number
  close(): Promise<void>
}

export interface SinkOptions extends InfluxOptions {
  readonly linesPerRequest: number
  /** How long windows are kept; undefined: for ever. As InfluxDB writes it, such as `90d`. */
  readonly rollupRetention?: string | undefined
  readonly backoff?: Backoff
}

/** Refusals that InfluxDB counts and explains with the first of them. */
const NAMES_THE_FIRST: ReadonlySet<LineRefusalReason> = new Set(['out_of_retention', 'field_type_conflict'])
const REQUEST_BYTES_MAX = 8 * 1024 * 1024
/** A stable complaint is said again this often, not at every attempt. */
const SAY_AGAIN_MS = 30_000

export function createInfluxSink(options: SinkOptions, { clock, log }: { clock: Clock; log: Logger }): InfluxSink {
  const connection = createInfluxConnection(options)
  const backoff = options.backoff ?? { firstMs: 200, maxMs: 10_000 }
  let version = 'unknown'
  let major: 1 | 2 | undefined
  let error: string | undefined = 'not asked yet'
  let retries = 0
  let linesWritten = 0
  let lastWriteMs = 0
  let said = { text: '', atMs: Number.NEGATIVE_INFINITY }

  const complain = (text: string, hint: string | undefined, attempt: number, delayMs: number) => {
    error = text
    retries += 1
    const nowMs = clock.monotonicMs()
    if (said.text === text && nowMs - said.atMs < SAY_AGAIN_MS) return
    said = { text, atMs: nowMs }
    const context = { url: options.url, attempt, delayMs: Math.round(delayMs), ...(hint === undefined ? {} : { hint }) }
    if (hint === undefined) log.warn(context, `${text}; what was not written waits in the stream`)
    else log.error(context, `${text}; what was not written waits in the stream`)
  }
  const works = () => {
    if (error !== undefined) log.info({ url: options.url, version }, 'InfluxDB takes writes')
    error = undefined
    said = { text: '', atMs: Number.NEGATIVE_INFINITY }
  }

  /** Tries until there is an answer that decides something. */
  async function untilDecided<T>(work: () => Promise<T | Retry>, signal: AbortSignal): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted()
      let outcome: T | Retry
      try {
        outcome = await work()
      } catch (failure) {
        signal.throwIfAborted()
        outcome = new Retry(`InfluxDB cannot be reached: ${describeInfluxError(failure)}`, undefined)
      }
      if (!(outcome instanceof Retry)) return outcome
      const delayMs = backoffDelayMs(backoff, attempt)
      complain(outcome.text, outcome.hint, attempt, delayMs)
      await clock.sleep(delayMs, signal)
    }
  }

  async function create(signal: AbortSignal): Promise<Retry | undefined> {
    const probed = await connection.probe(signal)
    major = probed.major
    version = probed.version
    return major === 1 ? createDatabase(signal) : createBuckets(signal)
  }

  async function createDatabase(signal: AbortSignal): Promise<Retry | undefined> {
    const name = quote(options.database)
    const duration = options.rollupRetention ?? 'INF'
    const statements = [
      `CREATE DATABASE ${name}`,
      `CREATE RETENTION POLICY "rollup" ON ${name} DURATION ${duration} REPLICATION 1`,
    ]
    for (const statement of statements) {
      const answer = await connection.request('POST', '/query', {
        body: new URLSearchParams({ q: statement }).toString(),
        contentType: 'application/x-www-form-urlencoded',
        signal,
      })
      const exists = /already exists/.test(answer.body)
      if (answer.status >= 300 || (/"error"/.test(answer.body) && !exists))
        return refused(answer.status, `${statement}: ${answer.body}`)
    }
    return undefined
  }

  /** 2.x: buckets and their InfluxQL names. A token that may not do this is no reason to stop: the buckets may be there. */
  async function createBuckets(signal: AbortSignal): Promise<Retry | undefined> {
    const orgs = await connection.request('GET', `/api/v2/orgs?org=${encodeURIComponent(options.org ?? '')}`, {
      signal,
    })
    if (orgs.status === 401) return refused(orgs.status, orgs.body)
    const orgID = (parseJson(orgs.body) as { orgs?: { id: string }[] } | undefined)?.orgs?.[0]?.id
    for (const policy of ['autogen', 'rollup'] as const) {
      const name = `${options.database}/${policy}`
      const found = await connection.request('GET', `/api/v2/buckets?name=${encodeURIComponent(name)}`, { signal })
      const bucket = (parseJson(found.body) as { buckets?: { id: string }[] } | undefined)?.buckets?.[0]
      if (bucket !== undefined) continue
      const made = await connection.request('POST', '/api/v2/buckets', {
        body: JSON.stringify({
          orgID,
          name,
          retentionRules: policy === 'rollup' ? retentionRules(options.rollupRetention) : [],
        }),
        contentType: 'application/json',
        signal,
      })
      const bucketID = (parseJson(made.body) as { id?: string } | undefined)?.id
      if (made.status >= 300 || bucketID === undefined) {
        log.warn({ bucket: name, status: made.status }, `could not create the bucket: ${made.body.slice(0, 200)}`)
        continue
      }
      await connection.request('POST', '/api/v2/dbrps', {
        body: JSON.stringify({
          orgID,
          bucketID,
          database: options.database,
          retention_policy: policy,
          default: policy === 'autogen',
        }),
        contentType: 'application/json',
        signal,
      })
    }
    return undefined
  }

  const writePath = (target: RetentionTarget): string =>
    major === 2
      ? `/api/v2/write?org=${encodeURIComponent(options.org ?? '')}&bucket=${encodeURIComponent(`${options.database}/${target === 'raw' ? 'autogen' : 'rollup'}`)}&precision=ms`
      : `/write?db=${encodeURIComponent(options.database)}${target === 'raw' ? '' : '&rp=rollup'}&precision=ms`

  /** @returns what is wrong with the request's lines, 'halve' when it is too large, undefined when it is written */
  async function post(
    body: Uint8Array,
    lineCount: number,
    target: RetentionTarget,
    signal: AbortSignal,
  ): Promise<LineRefusal | 'halve' | undefined | Retry> {
    if (major === undefined) {
      const failure = await create(signal)
      if (failure) return failure
    }
    const startMs = clock.monotonicMs()
    const { status, body: answer } = await connection.request('POST', writePath(target), { body, signal })
    lastWriteMs = clock.monotonicMs() - startMs
    if (status < 300) {
      linesWritten += lineCount
      works()
      return undefined
    }
    if (status === 413) return lineCount === 1 ? { reason: 'refused', detail: 'the line is too large' } : 'halve'
    const reason = status === 400 || status === 422 ? reasonOf(answer) : undefined
    if (reason !== undefined) return { reason, detail: messageIn(answer) }
    if (status === 404 || /retention policy not found|database not found|bucket .* not found/.test(answer)) {
      const failure = await create(signal)
      return (
        failure ??
        new Retry(
          `InfluxDB had lost its database (${messageIn(answer)}); it was created again`,
          'what was stored before is gone: find out who dropped it, and restore a backup',
        )
      )
    }
    return refused(status, answer)
  }

  async function writeRange(
    lines: LineBuffer,
    from: number,
    to: number,
    target: RetentionTarget,
    rejected: Map<number, LineRefusal>,
    signal: AbortSignal,
  ): Promise<void> {
    const start = from === 0 ? 0 : (lines.ends[from - 1] as number)
    const body = lines.bytes.subarray(start, lines.ends[to - 1] as number)
    const outcome = await untilDecided(() => post(body, to - from, target, signal), signal)
    if (outcome === undefined) return
    if (to - from === 1) {
      rejected.set(from, outcome as LineRefusal)
      return
    }
    const dropped = outcome === 'halve' ? 0 : Number(/dropped=(\d+)/.exec(outcome.detail)?.[1] ?? 0)
    if (outcome !== 'halve' && dropped === to - from && NAMES_THE_FIRST.has(outcome.reason)) {
      // InfluxDB says that it dropped each line of the request: no need to ask about each, at a millisecond a line.
      for (let i = from; i < to; i++) rejected.set(i, outcome)
      return
    }
    const middle = (from + to) >> 1
    await writeRange(lines, from, middle, target, rejected, signal)
    await writeRange(lines, middle, to, target, rejected, signal)
  }

  return {
    async write(lines, target, signal) {
      const rejected = new Map<number, LineRefusal>()
      for (let from = 0; from < lines.count; ) {
        const start = from === 0 ? 0 : (lines.ends[from - 1] as number)
        let to = Math.min(lines.count, from + options.linesPerRequest)
        while (to - from > 1 && (lines.ends[to - 1] as number) - start > REQUEST_BYTES_MAX)
          to = from + ((to - from) >> 1)
        await writeRange(lines, from, to, target, rejected, signal)
        from = to
      }
      if (rejected.size > 0) throw new PartialWriteError(rejected)
    },
    prepare: (signal) =>
      untilDecided(async () => {
        const failure = await create(signal)
        if (failure === undefined) works()
        return failure
      }, signal),
    status: () => ({ url: options.url, version, ok: error === undefined, error }),
    get retries() {
      return retries
    },
    get linesWritten() {
      return linesWritten
    },
    get lastWriteMs() {
      return lastWriteMs
    },
    close: () => connection.close(),
  }
}

/** Try again later; with a hint: a person must do something first. */
class Retry {
  readonly text: string
  readonly hint: string | undefined
  constructor(text: string, hint: string | undefined) {
    this.text = text
    this.hint = hint
  }
}

function refused(status: number, answer: string): Retry {
  const text = `InfluxDB answered ${status}: ${messageIn(answer)}`
  if (status === 401)
    return new Retry(text, 'correct influx.username and influx.password (1.x) or influx.token (2.x) in the config')
  if (status === 403) return new Retry(text, 'give the user or token the right to write to influx.database')
  if (status >= 500 || status === 429) return new Retry(text, undefined)
  return new Retry(text, 'check influx.url, influx.version, influx.org and influx.database in the config')
}

/** @returns undefined when the answer does not complain about lines */
export function reasonOf(answer: string): LineRefusalReason | undefined {
  if (/field type conflict/.test(answer)) return 'field_type_conflict'
  if (/beyond retention policy|outside retention policy|outside the retention/.test(answer)) return 'out_of_retention'
  if (/max-series-per-database|max-values-per-tag/.test(answer)) return 'series_limit'
  if (
    /unable to parse|invalid (boolean|number|integer|float|field|tag)|missing (fields|tag|measurement|timestamp)/.test(
      answer,
    )
  )
    return 'malformed_line'
  if (/partial write|time outside range|dropped=\d/.test(answer)) return 'refused'
  return undefined
}

function messageIn(answer: string): string {
  const parsed = parseJson(answer) as { error?: unknown; message?: unknown } | undefined
  const text = parsed?.error ?? parsed?.message
  return (typeof text === 'string' ? text : answer).trim().slice(0, 500)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const SECONDS = { m: 60, h: 3_600, d: 86_400, w: 604_800 } as const
/** As 2.x wants them. */
const retentionRules = (duration: string | undefined) =>
  duration === undefined
    ? []
    : [
        {
          type: 'expire',
          everySeconds: Number.parseInt(duration, 10) * SECONDS[duration.at(-1) as keyof typeof SECONDS],
        },
      ]

const quote = (name: string): string => `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
