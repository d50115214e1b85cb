/** Fills in what Grafana fills in: `$timeFilter`, `$__interval`, variables. Links are in `links.ts`. */
import { intervalText, type TimeRange } from './time-range.ts'

export const ALL_VALUE = '$__all'

/** A variable with what is selected. */
export interface SelectedVariable {
  readonly name: string
  /** `[ALL_VALUE]` for all. */
  readonly values: readonly string[]
  /** What stands for all; without it, all values joined. */
  readonly allValue?: string | null | undefined
  /** Everything that could be selected. */
  readonly options: readonly string[]
  /** What the reader sees for a value, where that is something else. */
  readonly names?: Readonly<Record<string, string>>
  /** What can be selected is what InfluxDB has: a site, a device. */
  readonly isStored?: boolean
  /** Several or all may be selected: the value stands in a regular expression. */
  readonly isPattern: boolean
}

export interface QueryContext {
  readonly range: TimeRange
  readonly intervalMs: number
  readonly variables: readonly SelectedVariable[]
}

const regexEscape = (text: string) => text.replace(/[\\^$*+?.()|[\]{}/]/g, '\\$&')

const isAll = ({ values }: SelectedVariable): boolean => values.includes(ALL_VALUE)
/** What is selected, one by one, also when it is all. */
export const selectedValues = (variable: SelectedVariable): readonly string[] =>
  isAll(variable) ? variable.options : variable.values

/** As Grafana writes a variable into InfluxQL. */
export function variableText(variable: SelectedVariable): string {
  if (isAll(variable) && variable.allValue) return variable.allValue
  const values = selectedValues(variable)
  if (!variable.isPattern) return values[0] ?? ''
  return patternText(values)
}
const patternText = (values: readonly string[]): string =>
  values.length === 1 ? regexEscape(values[0] as string) : `(${values.map(regexEscape).join('|')})`

/** Behind the colon in `${name:format}`. */
const FORMATS: Readonly<Record<string, (variable: SelectedVariable) => string>> = {
  regex: (variable) =>
    isAll(variable) && variable.allValue ? variable.allValue : patternText(selectedValues(variable)),
  raw: (variable) => (isAll(variable) && variable.allValue ? variable.allValue : selectedValues(variable).join(',')),
  csv: (variable) => selectedValues(variable).join(','),
  text: (variable) =>
    isAll(variable) ? 'All' : variable.values.map((value) => variable.names?.[value] ?? value).join(' + '),
  queryparam: ({ name, values }) =>
    values.map((value) => `var-${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&'),
  percentencode: (variable) => encodeURIComponent(selectedValues(variable).join(',')),
}
export const isKnownFormat = (name: string): boolean => Object.hasOwn(FORMATS, name)

/** @param format behind the colon; undefined for what a query wants */
export const formatted = (variable: SelectedVariable, format: string | undefined): string =>
  (FORMATS[format ?? ''] ?? variableText)(variable)

export const MACRO = /\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]|\$(\w+)/g

/** Names of variables and macros in a text, without `$`. */
export const macroNames = (text: string): string[] => [...text.matchAll(MACRO)].map((m) => m[1] ?? m[3] ?? m[5] ?? '')
/** Formats behind the colons of a text's macros. */
export const macroFormats = (text: string): string[] => [...text.matchAll(MACRO)].flatMap((m) => m[2] ?? m[4] ?? [])

/** The query as InfluxDB is to see it. A name that nobody knows stays as it stands, and InfluxDB will say so. */
export function fillQuery(query: string, { range, intervalMs, variables }: QueryContext): string {
  return query.replace(MACRO, (whole, braced, bracedFormat, bracketed, bracketedFormat, bare) => {
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
        return variable ? formatted(variable, bracedFormat ?? bracketedFormat) : whole
      }
    }
  })
}

/** Values in a text, all of them. */
export const listed = (variable: SelectedVariable): string => selectedValues(variable).join(', ')

/** Variables in what people read, such as the title of a panel. @param written when no format is asked for */
export const fillText = (
  text: string,
  variables: readonly SelectedVariable[],
  written: (variable: SelectedVariable) => string = (variable) => formatted(variable, 'text'),
): string =>
  text.replace(MACRO, (whole, braced, bracedFormat, bracketed, bracketedFormat, bare) => {
    const variable = variables.find((v) => v.name === (braced ?? bracketed ?? bare))
    const format = bracedFormat ?? bracketedFormat
    if (!variable) return whole
    return format === undefined ? written(variable) : formatted(variable, format)
  })

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
