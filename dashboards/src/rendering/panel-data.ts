/** A panel's targets and their answers as what its type draws: series, a table, or single values. */
import type { FieldSettings, PanelJson, TargetJson } from './dashboard-json.ts'
import { type NamedSeries, named, patternOf, settingsOf, shown, spanOf } from './field-config.ts'
import {
  type InfluxAnswer,
  type Series,
  type Table,
  tableOf,
  tableOfSeries,
  timeSeriesOf,
  type Value,
} from './frames.ts'
import { reduced } from './reducers.ts'
import { transformed } from './transformations.ts'

/** Those that are asked; the answers are in their order. */
export const targetsOf = (panel: PanelJson): readonly TargetJson[] =>
  (panel.targets ?? []).filter((target) => !target.hide)

/** The column of times. */
const TIME = 'Time'

/** A table's columns are series too: one a column. */
function seriesOfTable({ refId, fields }: Table): Series[] {
  const timesMs = (fields.find((field) => field.name === TIME)?.values ?? []).map(Number)
  return fields
    .filter((field) => field.name !== TIME)
    .map(({ title, values }) => ({ name: title, refId, labels: {}, timesMs, values }))
}

export function panelSeries(panel: PanelJson, answers: readonly InfluxAnswer[]): NamedSeries[] {
  const series = targetsOf(panel).flatMap(({ resultFormat, alias, refId }, i) => {
    const answer = answers[i] ?? {}
    return resultFormat === 'table' ? seriesOfTable(tableOf(answer, refId)) : timeSeriesOf(answer, alias, refId)
  })
  return named(series, panel.fieldConfig)
}

/** After the panel's transformations. Of several tables that are left the first with rows is shown. */
export function panelTable(panel: PanelJson, answers: readonly InfluxAnswer[]): Table {
  const tables = targetsOf(panel).flatMap(({ resultFormat, alias, refId }, i) => {
    const answer = answers[i] ?? {}
    return resultFormat === 'table'
      ? [tableOf(answer, refId)]
      : timeSeriesOf(answer, alias, refId).map((series) => tableOfSeries(series))
  })
  const shaped = transformed(tables, panel.transformations ?? [])
  return shaped.find((table) => table.rowCount > 0) ?? shaped[0] ?? { refId: '', fields: [], rowCount: 0 }
}

/** What the cells of a row say, by the answer's names: links are filled from that, as in Grafana, and not from what is behind a mapping. */
export const rowTexts = (
  { fields }: Table,
  row: number,
  { fieldConfig }: PanelJson,
  nowMs: number,
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    fields.map(({ name, title, values }) => {
      const { text, suffix } = shown(
        values[row] ?? null,
        { ...settingsOf(fieldConfig, [name, title]), noValue: '' },
        nowMs,
      )
      return [name, text + suffix]
    }),
  )

/** What a stat or a bar shows: a series as one value. */
export interface SingleValue {
  readonly series: NamedSeries
  readonly value: Value
  readonly settings: FieldSettings
  /** From the smallest to the largest value of the panel, or as its field says. */
  readonly span: readonly [low: number, high: number]
}

export function singleValues(panel: PanelJson, answers: readonly InfluxAnswer[]): SingleValue[] {
  const { calcs = [], fields = '' } = panel.options?.reduceOptions ?? {}
  const isNumeric = ({ values }: Series) => values.some((value) => typeof value === 'number')
  const isMeant = fields === '' ? isNumeric : ({ name }: Series) => patternOf(fields).test(name)
  const all = panelSeries(panel, answers)
  const isTime = fields !== '' && patternOf(fields).test(TIME)
  const series = isTime ? all.map((one) => ({ ...one, name: TIME, values: one.timesMs })) : all.filter(isMeant)
  const values = series.flatMap((one) => one.values)
  return series.map((one) => ({
    series: one,
    value: reduced(one.values, calcs[0] ?? 'lastNotNull'),
    settings: one.settings,
    span: spanOf(one.settings, values),
  }))
}
