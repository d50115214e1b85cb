/** InfluxDB's answer → series and tables, shaped as Grafana's data source shapes them. */
import { fillAlias } from './macros.ts'

export type Value = number | string | boolean | null

export interface InfluxSeries {
  readonly name?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly columns: readonly string[]
  readonly values?: readonly (readonly Value[])[]
}
export interface InfluxAnswer {
  readonly results?: readonly { readonly series?: readonly InfluxSeries[] }[]
}

/** One value over time. */
export interface Series {
  readonly name: string
  /** Of the target that it answers. */
  readonly refId: string
  /** Its tags. */
  readonly labels: Readonly<Record<string, string>>
  readonly timesMs: readonly number[]
  readonly values: readonly Value[]
}

export interface Field {
  /** As the answer names it; `Time` for the time. */
  readonly name: string
  /** As a person sees it. */
  readonly title: string
  readonly values: readonly Value[]
  /** Of the series that a column was made of. */
  readonly labels?: Readonly<Record<string, string>>
}
export interface Table {
  readonly refId: string
  readonly fields: readonly Field[]
  readonly rowCount: number
}

const seriesOf = (answer: InfluxAnswer): readonly InfluxSeries[] => answer.results?.[0]?.series ?? []

export function timeSeriesOf(answer: InfluxAnswer, alias: string | undefined, refId = ''): Series[] {
  return seriesOf(answer).flatMap(({ name = '', tags = {}, columns, values = [] }) => {
    const timeColumn = columns.indexOf('time')
    return columns.flatMap((column, i): Series[] => {
      if (i === timeColumn) return []
      const labels = Object.entries(tags).map(([key, value]) => `${key}: ${value}`)
      const title = alias
        ? fillAlias(alias, { measurement: name, column, tags })
        : `${name}.${column}${labels.length > 0 ? ` {${labels.join(', ')}}` : ''}`
      return [
        {
          name: title,
          refId,
          labels: tags,
          timesMs: values.map((row) => Number(row[timeColumn] ?? 0)),
          values: values.map((row) => row[i] ?? null),
        },
      ]
    })
  })
}

/** All series below each other: time, tags, columns. */
export function tableOf(answer: InfluxAnswer, refId = ''): Table {
  const series = seriesOf(answer)
  const first = series[0]
  if (!first) return { refId, fields: [], rowCount: 0 }
  const tagNames = Object.keys(first.tags ?? {})
  const names = [...(first.columns[0] === 'time' ? ['Time'] : [first.columns[0] as string]), ...tagNames]
  names.push(...first.columns.slice(1))
  const columns: Value[][] = names.map(() => [])
  for (const { tags = {}, values = [] } of series)
    for (const row of values) {
      const cells = [row[0] ?? null, ...tagNames.map((tag) => tags[tag] ?? null), ...row.slice(1)]
      for (const [i, cell] of cells.entries()) columns[i]?.push(cell)
    }
  return {
    refId,
    fields: names.map((name, i) => ({ name, title: name, values: columns[i] as Value[] })),
    rowCount: columns[0]?.length ?? 0,
  }
}

/** Values of `SHOW TAG VALUES`. */
export const tagValuesOf = (answer: InfluxAnswer): string[] => [
  ...new Set(seriesOf(answer).flatMap((s) => (s.values ?? []).map((row) => String(row[1] ?? row[0] ?? '')))),
]

/** A series as a table of two columns. */
export const tableOfSeries = ({ name, refId, labels, timesMs, values }: Series): Table => ({
  refId,
  fields: [
    { name: 'Time', title: 'Time', values: timesMs },
    { name: 'Value', title: name, values, labels },
  ],
  rowCount: values.length,
})

/** Several series on one time axis: a column of times, and of values for each; undefined where a series has no point. */
export function aligned(series: readonly Series[]): { timesMs: number[]; columns: (Value | undefined)[][] } {
  const timesMs = [...new Set(series.flatMap((s) => s.timesMs))].sort((a, b) => a - b)
  const indexOf = new Map(timesMs.map((time, i) => [time, i]))
  const columns = series.map((s) => {
    const column = new Array<Value | undefined>(timesMs.length).fill(undefined)
    s.timesMs.forEach((time, i) => {
      column[indexOf.get(time) as number] = s.values[i] ?? null
    })
    return column
  })
  return { timesMs, columns }
}

/**
 * Where a line or a state is to break. Grafana's `spanNulls`: true never, false at every null, a number of milliseconds where
 * more time than that lies between two values. `null` breaks, `undefined` does not.
 */
export function withGaps<V extends Value>(
  timesMs: readonly number[],
  column: readonly (V | null | undefined)[],
  spanNulls: boolean | number,
): (V | null | undefined)[] {
  if (spanNulls === false) return [...column]
  const result = column.map((value) => value ?? undefined)
  if (spanNulls === true) return result
  const gapped: (V | null | undefined)[] = result
  let lastAt = -1
  const close = (until: number) => {
    const [from, to] = [timesMs[Math.max(0, lastAt)] as number, timesMs[Math.min(until, timesMs.length - 1)] as number]
    if (to - from > spanNulls) gapped.fill(null, lastAt + 1, until)
    lastAt = until
  }
  result.forEach((value, i) => {
    if (value !== undefined && value !== null) close(i)
  })
  close(gapped.length)
  return gapped
}

/** `withGaps` of numbers; anything else is as good as nothing. */
export const withHoles = (
  timesMs: readonly number[],
  column: readonly (Value | undefined)[],
  spanNulls: boolean | number,
): (number | null | undefined)[] =>
  withGaps(
    timesMs,
    column.map((value) => (typeof value === 'number' ? value : value === undefined ? undefined : null)),
    spanNulls,
  )

export function lastNotNull(series: Pick<Series, 'values'>): Value {
  for (let i = series.values.length - 1; i >= 0; i--) {
    const value = series.values[i]
    if (value !== null && value !== undefined) return value
  }
  return null
}
