/** Links of cells, series, panels and dashboards: what Grafana fills in, and where they may lead. */
import type { DashboardJson, DashboardLinkJson } from './dashboard-json.ts'
import type { Value } from './frames.ts'
import { formatted, type SelectedVariable } from './macros.ts'
import type { RawRange } from './time-range.ts'

export interface LinkContext {
  readonly rawRange: RawRange
  readonly variables: readonly SelectedVariable[]
  /** Of a cell: the row, by the answer's names. */
  readonly row?: Readonly<Record<string, Value>>
  readonly value?: { readonly raw: Value; readonly text: string; readonly timeMs?: number | undefined }
  readonly series?: { readonly name: string; readonly labels: Readonly<Record<string, string>> }
}

const MACRO = /\$\{([^}:]+)(?::(\w+))?\}|\$(\w+)/g

type Fill = (context: LinkContext, rest: string) => string | undefined
/** By how the macro's name begins; `rest` is what follows. A macro that means nothing here is filled with nothing. */
const MACROS: readonly (readonly [prefix: string, fill: Fill])[] = [
  ['__url_time_range', ({ rawRange: { from, to } }) => `from=${encodeURIComponent(from)}&to=${encodeURIComponent(to)}`],
  ['__all_variables', ({ variables }) => variables.map((variable) => formatted(variable, 'queryparam')).join('&')],
  ['__data.fields.', ({ row }, name) => encoded(row?.[name])],
  ['__data.fields["', ({ row }, name) => encoded(row?.[name.replace(/"\]$/, '')])],
  ['__field.labels.', ({ series }, name) => encoded(series?.labels[name])],
  ['__field.name', ({ series }) => encoded(series?.name)],
  ['__series.name', ({ series }) => encoded(series?.name)],
  ['__value.raw', ({ value }) => encoded(value?.raw)],
  ['__value.text', ({ value }) => encoded(value?.text)],
  ['__value.time', ({ value }) => encoded(value?.timeMs)],
]
const encoded = (value: Value | undefined): string => encodeURIComponent(String(value ?? ''))
const takesRest = (prefix: string) => /[."]$/.test(prefix)
const macroOf = (name: string) =>
  MACROS.find(([prefix]) => (takesRest(prefix) ? name.startsWith(prefix) && name !== prefix : name === prefix))

/** Macros and formats that `fillLink` leaves alone. @param variables names of the dashboard's */
export const unknownLinkMacros = (url: string, variables: readonly string[], isFormat: (name: string) => boolean) =>
  [...url.matchAll(MACRO)].flatMap(([, braced, format, bare]) => {
    const name = braced ?? bare ?? ''
    if (!macroOf(name) && !variables.includes(name)) return [name]
    return format === undefined || isFormat(format) ? [] : [`${name}:${format}`]
  })

/** Values are encoded. A name that nobody knows stays as it stands. */
export function fillLink(url: string, context: LinkContext): string {
  return url.replace(MACRO, (whole, braced, format, bare) => {
    const name: string = braced ?? bare
    const macro = macroOf(name)
    if (macro) return macro[1](context, name.slice(macro[0].length)) ?? ''
    const variable = context.variables.find((v) => v.name === name)
    if (!variable) return whole
    return format === undefined ? encodeURIComponent(formatted(variable, undefined)) : formatted(variable, format)
  })
}

/** Where a dashboard's own link leads, with the time and the variables if it wants them. */
export function dashboardLinkUrl({ url = '', keepTime, includeVars }: DashboardLinkJson, context: LinkContext): string {
  const parts = [keepTime && '${__url_time_range}', includeVars && '${__all_variables}'].filter((part) => part)
  const separator = url.includes('?') ? '&' : '?'
  return fillLink(parts.length > 0 ? `${url}${separator}${parts.join('&')}` : url, context)
}

/** The entry of a menu that a dashboard stands under: its own, else the first that one of its links leads to. */
export const entryOf = ({ uid, links = [] }: Pick<DashboardJson, 'uid' | 'links'>, entries: readonly string[]) =>
  [uid, ...links.map(({ url = '' }) => /^\/d\/([^/?]+)/.exec(url)?.[1])].find(
    (one) => one !== undefined && entries.includes(one),
  )

/** Scripts are not followed: only addresses of this page and of the web. */
export const isSafeUrl = (url: string): boolean => /^(https?:\/\/|\/(?!\/)|\?|#|mailto:)/i.test(url)
