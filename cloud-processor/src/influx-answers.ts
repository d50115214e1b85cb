/**
 * What InfluxDB's answers to a write mean. Those of 1.6.7 and 2.7.12 are what the servers said (docs/influxdb.md); those of
 * 3 are as its documentation and source have them.
 */
import type { InfluxAnswer } from './influx-connection.ts'

export type LineRefusalReason =
  | 'field_type_conflict'
  | 'out_of_retention'
  | 'malformed_line'
  | 'series_limit'
  | 'refused'

export interface LineRefusal {
  readonly reason: LineRefusalReason
  /** What InfluxDB said, and what to do. */
  readonly detail: string
}

export type WriteAnswer =
  | { readonly kind: 'written' | 'too_large' }
  | RefusedLines
  /** Database, retention policy or bucket is not there. */
  | { readonly kind: 'no_place'; readonly said: string }
  /** With a hint: a person must do something first. */
  | { readonly kind: 'retry'; readonly text: string; readonly hint: string | undefined }

/** Some lines of the request are at fault; whether the others were written differs. */
export interface RefusedLines {
  readonly kind: 'lines'
  /** Of the first of them, or of all. */
  readonly refusal: LineRefusal
  /** So many of the request's lines were not written for one reason; 0 when InfluxDB does not say. */
  readonly dropped: number
  /** Index in the request → why, of those that InfluxDB names. 3 names all, 1.x and 2.x none. */
  readonly named: ReadonlyMap<number, LineRefusal>
  /** All that it said. */
  readonly said: string
}

const HINTS: Partial<Record<LineRefusalReason, string>> = {
  field_type_conflict:
    'the store has this field with another type: rename it in the contract, or set another influx.database, then requeue',
  out_of_retention: 'it is older than the retention policy or bucket keeps: lengthen that, then requeue',
  series_limit: 'raise the limit in the config of InfluxDB, then requeue',
}
/** Of what InfluxDB says. */
const SAID_CHARACTERS_MAX = 500

export function readWriteAnswer({ status, body }: Pick<InfluxAnswer, 'status' | 'body'>): WriteAnswer {
  if (status < 300) return { kind: 'written' }
  const answer = parseJson(body)
  const said = saidIn(body, answer)
  if (status === 413 || /max request size .* exceeded/.test(said)) return { kind: 'too_large' }
  const named = namedIn(answer?.data)
  const reason = status === 400 || status === 422 ? reasonOf(said) : undefined
  if (reason !== undefined || named.size > 0)
    return {
      kind: 'lines',
      refusal: [...named.values()][0] ?? refusalOf(reason ?? 'refused', said),
      dropped: Number(/dropped=(\d+)/.exec(said)?.[1] ?? 0),
      named,
      said,
    }
  if (/retention policy not found|database not found|bucket .*not found/.test(said))
    return { kind: 'no_place', said: said.slice(0, SAID_CHARACTERS_MAX) }
  return {
    kind: 'retry',
    text: `InfluxDB answered ${status}: ${said.slice(0, SAID_CHARACTERS_MAX)}`,
    hint: hintOf(status, said),
  }
}

function hintOf(status: number, said: string): string | undefined {
  if (/no space left on device/.test(said))
    return 'make room on the disk of InfluxDB, then restart it: it takes no writes before that'
  if (status >= 500 || status === 429 || status === 408) return undefined
  if (status === 401)
    return 'correct influx.username and influx.password (1.x) or influx.token (2.x and 3) in the config'
  if (status === 403) return 'give the user or token the right to write to influx.database'
  return 'check influx.url, influx.version, influx.org and influx.database in the config'
}

/** @returns undefined when the answer does not complain about lines */
function reasonOf(said: string): LineRefusalReason | undefined {
  if (/field type conflict|invalid column type/.test(said)) return 'field_type_conflict'
  if (/(beyond|outside) retention policy|is pending deletion/.test(said)) return 'out_of_retention'
  if (/max-series-per-database|max-values-per-tag|would exceed number of/.test(said)) return 'series_limit'
  if (/unable to parse/.test(said)) return 'malformed_line'
  return /partial write/.test(said) ? 'refused' : undefined
}

const refusalOf = (reason: LineRefusalReason, said: string): LineRefusal => {
  const hint = HINTS[reason]
  return { reason, detail: `${said.slice(0, SAID_CHARACTERS_MAX)}${hint === undefined ? '' : ` → ${hint}`}` }
}

/** InfluxDB 3: `{error, data: [{line_number, error_message, original_line}]}`, or one of them when it wrote nothing. */
function namedIn(data: unknown): ReadonlyMap<number, LineRefusal> {
  const named = new Map<number, LineRefusal>()
  for (const one of Array.isArray(data) ? data : [data]) {
    const { line_number: number, error_message: said } = (one ?? {}) as Record<string, unknown>
    if (!Number.isInteger(number) || typeof said !== 'string') continue
    const reason = reasonOf(said) ?? (/tag set is immutable/.test(said) ? 'refused' : 'malformed_line')
    named.set((number as number) - 1, refusalOf(reason, said))
  }
  return named
}

function saidIn(body: string, answer: ReturnType<typeof parseJson>): string {
  const said = answer?.error ?? answer?.message
  return (typeof said === 'string' ? said : body).trim()
}

function parseJson(text: string): { error?: unknown; message?: unknown; data?: unknown } | undefined {
  try {
    return JSON.parse(text) ?? undefined
  } catch {
    return undefined
  }
}
