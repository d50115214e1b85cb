/** InfluxQL over `/query`, which InfluxDB 1.x, 2.x and 3 Core all answer. */
import { createInfluxConnection, type InfluxOptions, type InfluxServer } from './influx-connection.ts'

export interface InfluxSeries {
  readonly name: string
  readonly tags?: Readonly<Record<string, string>>
  readonly columns: readonly string[]
  /** One row a point; times are milliseconds since 1970. */
  readonly values: readonly (readonly unknown[])[]
}

/** @throws Error with what InfluxDB said when a statement fails. Several statements give their series one after another. */
export interface InfluxQuery {
  (influxql: string, signal?: AbortSignal): Promise<InfluxSeries[]>
  close(): Promise<void>
}

export function createInfluxQuery(options: InfluxOptions): InfluxQuery {
  const connection = createInfluxConnection(options)
  let server: InfluxServer | undefined
  /** 3 answers one statement a request. */
  const isOneByOne = async (signal: AbortSignal | undefined): Promise<boolean> => {
    server ??= await connection.probe(signal)
    return server.major === 3
  }
  const ask = async (influxql: string, signal: AbortSignal | undefined): Promise<InfluxSeries[]> => {
    const parameters = new URLSearchParams({ db: options.database, epoch: 'ms', q: influxql })
    const answer = await connection.request('POST', '/query', {
      body: parameters.toString(),
      contentType: 'application/x-www-form-urlencoded',
      signal,
    })
    const parsed = parse(answer.body)
    const error = parsed?.error ?? parsed?.results?.find((result) => result.error)?.error
    if (answer.status >= 300 || parsed === undefined || error !== undefined)
      throw new Error(
        `InfluxDB answered ${answer.status} to "${influxql.slice(0, 200)}": ${error ?? answer.body.slice(0, 300)}`,
      )
    return parsed.results?.flatMap((result) => result.series ?? []) ?? []
  }
  const query = async (influxql: string, signal?: AbortSignal): Promise<InfluxSeries[]> => {
    const statements = statementsOf(influxql)
    if (statements.length < 2 || !(await isOneByOne(signal))) return ask(influxql, signal)
    const series: InfluxSeries[] = []
    for (const statement of statements) series.push(...(await ask(statement, signal)))
    return series
  }
  return Object.assign(query, { close: () => connection.close() })
}

/** Cut at the semicolons that stand in no quotes. */
const statementsOf = (influxql: string): string[] =>
  (influxql.match(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^;"'])+/g) ?? []).filter((one) => one.trim() !== '')

interface QueryAnswer {
  readonly error?: string
  readonly results?: readonly { readonly series?: readonly InfluxSeries[]; readonly error?: string }[]
}

function parse(body: string): QueryAnswer | undefined {
  try {
    return JSON.parse(body) as QueryAnswer
  } catch {
    return undefined
  }
}
