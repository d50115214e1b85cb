/** Fills in what Grafana fills in: `$timeFilter`, `$__interval`, variables, and the macros of links. */
import { intervalText, type TimeRange } from './time-range.ts'

export const ALL_VALUE = '$__all'

/** A variable with what is selected. */
export interface SelectedVariable {
  readonly name: string
  /** `[ALL_VALUE]` for all. */
  readonly values: readonly string[]
  /** What stands for all; without it, all values joined. */
  readonly allValue?: string | undefined
  /** Everything that could be selected. */
  readonly options: readonly string[]
  /** Several or all may be selected: the value stands in a regular expression. */
  readonly isPattern: boolean
}

export interface QueryContext {
  readonly range: TimeRange
  readonly intervalMs: number
  readonly variables: readonly SelectedVariable[]
}

const regexEscape = (text: string) => text.replace(/[\\^$*+?.()|[\]{}/]/g, '\\$&')

/** As Grafana writes a variable into InfluxQL. */
export function variableText(variable: SelectedVariable): string {
  const isAll = variable.values.includes(ALL_VALUE)
  if (isAll && variable.allValue !== undefined) return variable.allValue
  const values = isAll ? variable.options : variable.values
  if (!variable.isPattern) return values[0] ?? ''
  if (values.length === 1) return regexEscape(values[0] as string)
  return `(${values.map(regexEscape).join('|')})`
}

const MACRO = /\$\{(\w+)(?::\w+)?\}|\[\[(\w+)(?::\w+)?\]\]|\$(\w+)/g

/** Names of variables and macros in a text, without `$`. */
export const macroNames = (text: string): string[] => [...text.matchAll(MACRO)].map((m) => m[1] ?? m[2] ?? m[3] ?? '')

/** The query as InfluxDB is to see it. A name that nobody knows stays as it stands, and InfluxDB will say so. */
export function fillQuery(query: string, { range, intervalMs, variables }: QueryContext): string {
  return query.replace(MACRO, (whole, braced, bracketed, bare) => {
    const name: string = braced ?? bracketed ?? bare
    switch (name) {
      case 'timeFilter':
        return `time >= ${Math.round(range.fromMs)}ms and time <= ${Math.round(range.toMs)}ms`
      case '__interval':
      case 'interval':
        return intervalText(intervalMs)
      case '__interval_ms':
        return String(intervalMs)
      case '__from':
        return String(Math.round(range.fromMs))
      case '__to':
        return String(Math.round(range.toMs))
      default: {
        const variable = variables.find((v) => v.name === name)
        return variable ? variableText(variable) : whole
      }
    }
  })
}

/** `$tag_device`, `$col`, `$m` in the alias of a series. */
export function fillAlias(
  alias: string,
  { measurement, column, tags }: { measurement: string; column: string; tags: Readonly<Record<string, string>> },
): string {
  return alias.replace(
    /\$\{?(tag_\w+|col|m|measurement)\}?|\[\[(tag_\w+|col|m|measurement)\]\]/g,
    (_, bare, bracketed) => {
      const name: string = bare ?? bracketed
      if (name === 'col') return column
      return name.startsWith('tag_') ? (tags[name.slice(4)] ?? '') : measurement
    },
  )
}

/** `${__data.fields.device}`, `${__url_time_range}` and variables in a link; values are encoded. */
export function fillLink(
  url: string,
  {
    row,
    rawRange,
    variables,
  }: {
    row: Readonly<Record<string, unknown>>
    rawRange: { readonly from: string; readonly to: string }
    variables: readonly SelectedVariable[]
  },
): string {
  return url.replace(/\$\{([^}]+)\}|\$(\w+)/g, (whole, braced, bare) => {
    const name: string = braced ?? bare
    if (name === '__url_time_range')
      return `from=${encodeURIComponent(rawRange.from)}&to=${encodeURIComponent(rawRange.to)}`
    if (name.startsWith('__data.fields.')) return encodeURIComponent(String(row[name.slice(14)] ?? ''))
    const variable = variables.find((v) => v.name === name)
    return variable ? encodeURIComponent(variableText(variable)) : whole
  })
}
