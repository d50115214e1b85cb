/**
 * Guarantee: when `write` resolves, every line is in the store; when it rejects with PartialWriteError, all but the named
 * ones are. Everything else it tries again until the signal aborts: nothing is given up because the database is away.
 * Writes are upserts, so parts of a refused request can be written again to find the lines at fault.
 */
import { type Backoff, backoffDelayMs, type Clock, type Logger, UserError } from '@tributary/runtime'
import { divide, quotedLines } from './divide-lines.ts'
import { type LineRefusal, type RefusedLines, readWriteAnswer, type WriteAnswer } from './influx-answers.ts'
import {
  createInfluxConnection,
  describeInfluxError,
  type InfluxOptions,
  type InfluxServer,
} from './influx-connection.ts'
import { InfluxRefusal } from './influx-place.ts'
import type { LineBuffer } from './line-protocol.ts'
import { provisionStore } from './provision-influx.ts'

export type { LineRefusal, LineRefusalReason } from './influx-answers.ts'

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
  /** Finds out which InfluxDB it is and makes what is missing there; tried until it works, or is not allowed. */
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
const NAMES_THE_FIRST: ReadonlySet<LineRefusal['reason']> = new Set(['out_of_retention', 'field_type_conflict'])
const REQUEST_BYTES_MAX = 8 * 1024 * 1024
/** A stable complaint is said again this often, not at every attempt. */
const SAY_AGAIN_MS = 30_000

type Retry = Extract<WriteAnswer, { kind: 'retry' }>
/** What InfluxDB says of a request's lines. */
type Decided = Exclude<WriteAnswer, { kind: 'retry' | 'no_place' }>

interface Created {
  readonly server: InfluxServer
  /** When somebody else must make what is missing. */
  readonly refusal: InfluxRefusal | undefined
}

interface Job {
  readonly lines: LineBuffer
  readonly target: RetentionTarget
  readonly rejected: Map<number, LineRefusal>
  readonly signal: AbortSignal
}

export function createInfluxSink(options: SinkOptions, { clock, log }: { clock: Clock; log: Logger }): InfluxSink {
  const connection = createInfluxConnection(options)
  const backoff = options.backoff ?? { firstMs: 200, maxMs: 10_000 }
  /** undefined: to be asked, at first and after it was away; it may come back as another version. */
  let server: InfluxServer | undefined
  let creating: Promise<Created> | undefined
  let version = 'unknown'
  let error: string | undefined = 'not asked yet'
  let retries = 0
  let linesWritten = 0
  let lastWriteMs = 0
  let said = { text: '', atMs: Number.NEGATIVE_INFINITY }

  const complain = ({ text, hint }: Retry, attempt: number, delayMs: number) => {
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
  async function untilDecided<T extends object>(work: () => Promise<T | Retry>, signal: AbortSignal): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted()
      let outcome: T | Retry
      try {
        outcome = await work()
      } catch (failure) {
        signal.throwIfAborted()
        server = undefined
        outcome = retryOf(failure)
      }
      if (!isRetry(outcome)) return outcome
      const delayMs = backoffDelayMs(backoff, attempt)
      complain(outcome, attempt, delayMs)
      await clock.sleep(delayMs, signal)
    }
  }

  /** All partitions ask together. */
  const create = (signal: AbortSignal): Promise<Created> => {
    creating ??= createAlone(signal).finally(() => {
      creating = undefined
    })
    return creating
  }

  async function createAlone(signal: AbortSignal): Promise<Created> {
    const probed = await connection.probe(signal)
    version = probed.version
    server = probed
    try {
      await provisionStore(connection, probed.major, options, { dryRun: false, signal }, () => undefined)
      return { server: probed, refusal: undefined }
    } catch (failure) {
      if (!(failure instanceof InfluxRefusal) || isPassing(failure.status)) throw failure
      return { server: probed, refusal: failure }
    }
  }

  /** A user or token that may write and nothing else is a good one: it matters only when something is missing. */
  async function firstLook(signal: AbortSignal): Promise<InfluxServer> {
    const { server: found, refusal } = await create(signal)
    if (refusal === undefined) works()
    else error = `nothing is written yet, and ${refusal.message}`
    if (refusal)
      log.info(
        { url: options.url, reason: refusal.message },
        'cannot make what is missing in InfluxDB; it is taken to be there',
      )
    return found
  }

  function writePath({ major }: InfluxServer, target: RetentionTarget): string {
    const database = encodeURIComponent(options.database)
    if (major === 1) return `/write?db=${database}${target === 'raw' ? '' : '&rp=rollup'}&precision=ms`
    if (major === 3) return `/api/v3/write_lp?db=${database}&precision=millisecond&accept_partial=true`
    const bucket = encodeURIComponent(`${options.database}/${target === 'raw' ? 'autogen' : 'rollup'}`)
    return `/api/v2/write?org=${encodeURIComponent(options.org ?? '')}&bucket=${bucket}&precision=ms`
  }

  async function post(body: Uint8Array, lineCount: number, target: RetentionTarget, signal: AbortSignal) {
    const path = writePath(server ?? (await firstLook(signal)), target)
    const startMs = clock.monotonicMs()
    const answer = readWriteAnswer(await connection.request('POST', path, { body, signal }))
    lastWriteMs = clock.monotonicMs() - startMs
    if (answer.kind === 'written') {
      linesWritten += lineCount
      works()
    }
    return answer.kind === 'no_place' ? remake(answer.said, signal) : answer
  }

  async function remake(missing: string, signal: AbortSignal): Promise<Retry> {
    const { refusal } = await create(signal)
    if (refusal)
      return {
        kind: 'retry',
        text: `${missing}; ${refusal.message}`,
        hint: `run \`tributary init\`, or ${refusal.hint}`,
      }
    return {
      kind: 'retry',
      text: `InfluxDB had lost its database (${missing}); it was created again`,
      hint: 'what was stored before is gone: find out who dropped it, and restore a backup',
    }
  }

  const send = (body: Uint8Array, lineCount: number, { target, signal }: Job): Promise<Decided> =>
    untilDecided<Decided>(() => post(body, lineCount, target, signal), signal)

  /** Names the lines at fault and writes all others. */
  async function sift(answer: Decided, picked: readonly number[], job: Job): Promise<void> {
    if (answer.kind === 'written') return
    const refused = answer.kind === 'lines' ? answer : undefined
    const known = refused === undefined ? new Map<number, LineRefusal>() : refusalsIn(refused, picked, job.lines)
    if (picked.length === 1 && known.size === 0)
      known.set(picked[0] as number, refused?.refusal ?? { reason: 'refused', detail: 'the line is too large' })
    for (const [line, refusal] of known) job.rejected.set(line, refusal)
    if (known.size > 0)
      return writePicked(
        picked.filter((line) => !known.has(line)),
        job,
      )
    for (const part of divide(refused, picked, job.lines)) await writePicked(part, job)
  }

  async function writePicked(picked: readonly number[], job: Job): Promise<void> {
    if (picked.length === 0) return
    const body = Buffer.concat(picked.map((line) => job.lines.line(line)))
    await sift(await send(body, picked.length, job), picked, job)
  }

  return {
    async write(lines, target, signal) {
      const job: Job = { lines, target, rejected: new Map(), signal }
      for (let from = 0; from < lines.count; ) {
        const start = from === 0 ? 0 : (lines.ends[from - 1] as number)
        let to = Math.min(lines.count, from + options.linesPerRequest)
        while (to - from > 1 && (lines.ends[to - 1] as number) - start > REQUEST_BYTES_MAX)
          to = from + ((to - from) >> 1)
        const answer = await send(lines.bytes.subarray(start, lines.ends[to - 1] as number), to - from, job)
        if (answer.kind !== 'written') {
          const first = from
          await sift(
            answer,
            Array.from({ length: to - from }, (_, at) => first + at),
            job,
          )
        }
        from = to
      }
      if (job.rejected.size > 0) throw new PartialWriteError(new Map([...job.rejected].sort(([a], [b]) => a - b)))
    },
    prepare: async (signal) => {
      await untilDecided(() => firstLook(signal), signal)
    },
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

const isRetry = (outcome: object): outcome is Retry => 'kind' in outcome && outcome.kind === 'retry'

const isPassing = (status: number): boolean => status >= 500 || status === 429 || status === 408

/** What needs no asking, at a millisecond a line: lines that it names or quotes, or all when it says that it dropped so many. */
function refusalsIn(refused: RefusedLines, picked: readonly number[], lines: LineBuffer): Map<number, LineRefusal> {
  const { refusal, dropped, named } = refused
  if (dropped === picked.length && NAMES_THE_FIRST.has(refusal.reason))
    return new Map(picked.map((line) => [line, refusal]))
  if (named.size === 0) return quotedLines(refused, picked, lines)
  return new Map([...named].filter(([at]) => at < picked.length).map(([at, why]) => [picked[at] as number, why]))
}

function retryOf(failure: unknown): Retry {
  if (failure instanceof UserError) {
    const isAway = failure instanceof InfluxRefusal && isPassing(failure.status)
    return { kind: 'retry', text: failure.message, hint: isAway ? undefined : failure.hint }
  }
  return { kind: 'retry', text: `InfluxDB cannot be reached: ${describeInfluxError(failure)}`, hint: undefined }
}
