/**
 * How much of what a contract's `interval` lets expect has come, by the samples that windows counted.
 */

import { AxisPlacement, VisibilityMode } from '@grafana/grafana-foundation-sdk/common'
import {
  CellValuesBuilder,
  FilterValueRangeBuilder,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  PanelBuilder as HeatmapPanel,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap'
import { type Contract, windowName, windowWidthsOf } from '@tributary/protocol'
import { shownFields } from './field-style.ts'
import { influxQuery, refIdOf } from './influx-query.ts'
import { identifier, SITE_AND_DEVICE } from './influxql.ts'
import { type PanelPlace, place } from './panels.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
/** Beyond, minutes are too many to be counted. */
const BY_MINUTE_MS_MAX = 48 * HOUR_MS

const ABSENT_PERCENT_SHOWN_MAX = 20

/** Where samples are counted: by steps, a step without any counting as none. What is younger than `lag` is on its way. */
interface Source {
  readonly widthMs: number
  readonly stepMs: number
  readonly lag: string
  readonly condition: string
}

/** A step holds one sample at least, and whole windows. */
function sourceOf(contract: Contract, leastMs: number, lag: string): Omit<Source, 'condition'> | undefined {
  const stepMs = Math.ceil(contract.interval / leastMs) * leastMs
  const widthMs = windowWidthsOf(contract).findLast((width) => width <= leastMs && leastMs % width === 0)
  return widthMs === undefined ? undefined : { widthMs, stepMs, lag }
}

const BY_DEVICE = 'GROUP BY "site", "device"'
/** Who sends more often than its contract says is complete. InfluxQL has no smaller of two. */
const atMost100 = (percents: string): string =>
  `(SELECT "percent" FROM (${percents}) WHERE "percent" <= 100 ${BY_DEVICE}), ` +
  `(SELECT "percent" * 0 + 100 AS "percent" FROM (${percents}) WHERE "percent" > 100 ${BY_DEVICE})`

/** By minutes of a short range, by hours of a long one; by what there is where windows of one width are missing. */
function sourcesOf(contract: Contract): Source[] {
  const minutes = sourceOf(contract, MINUTE_MS, '2m')
  const hours = sourceOf(contract, HOUR_MS, '2h')
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: Grafana fills them in
  const span = '${__to} - ${__from}'
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: Grafana fills them in
  if (minutes && hours && hours.widthMs > minutes.widthMs)
    return [
      { ...minutes, condition: ` AND ${span} <= ${BY_MINUTE_MS_MAX}` },
      { ...hours, condition: ` AND ${span} > ${BY_MINUTE_MS_MAX}` },
    ]
  const only = minutes ?? hours
  return only ? [{ ...only, condition: '' }] : []
}

/**
 * Percent of the expected samples: what came of each device in a time range, and what is absent of each in an interval. Of the
 * queries one answers. None for a kind without windows.
 */
export function completenessQueries(contract: Contract): { readonly complete: string; readonly absent: string }[] {
  const fields = shownFields(contract)
  const [field] = fields.find(([, one]) => one.required) ?? fields[0] ?? []
  if (field === undefined) return []
  return sourcesOf(contract).map(({ widthMs, stepMs, lag, condition }) => {
    const percent = `mean("n") * 100 / ${stepMs / contract.interval}`
    // Steps begin with the range: one that began before it would lack its window, and one that ends behind it, too.
    const known = `time < now() - ${lag} AND time < \${__to}ms - ${lag}`
    const counted =
      `(SELECT sum(${identifier(`${field}_count`)}) AS "n" FROM "rollup".${identifier(`${contract.kind}_${windowName(widthMs)}`)} ` +
      `WHERE $timeFilter AND ${known} AND ${SITE_AND_DEVICE}${condition} GROUP BY time(${windowName(stepMs)}, \${__from}ms), "site", "device" fill(0))`
    const each = `GROUP BY time($__interval), "site", "device" fill(none)`
    return {
      complete: `SELECT mean("percent") AS "complete" FROM ${atMost100(`SELECT ${percent} AS "percent" FROM ${counted} ${BY_DEVICE}`)} ${BY_DEVICE}`,
      absent: `SELECT 100 - mean("percent") AS "absent" FROM ${atMost100(`SELECT ${percent} AS "percent" FROM ${counted} WHERE $timeFilter AND ${known} ${each}`)} WHERE $timeFilter AND ${known} GROUP BY time($__interval), "device" fill(none)`,
    }
  })
}

/** A row a device, a cell an hour. What is whole looks like nothing, a fifth of it gone like all. */
export function absenceMap(at: PanelPlace, queries: readonly string[]) {
  return (
    place(new HeatmapPanel(), at)
      .targets(queries.map((query, i) => influxQuery(refIdOf(i), query, { alias: '$tag_device' })))
      .interval('1h')
      .unit('percent')
      .decimals(1)
      .calculate(false)
      .color(
        new HeatmapColorOptionsBuilder()
          .mode(HeatmapColorMode.Scheme)
          .scheme('Blues')
          .steps(64)
          .reverse(false)
          .min(0)
          .max(ABSENT_PERCENT_SHOWN_MAX),
      )
      // What lacks nothing is drawn too: a device without a row was silent.
      .filterValues(new FilterValueRangeBuilder().le(-1_000_000))
      .cellValues(new CellValuesBuilder().unit('percent').decimals(1))
      .cellGap(1)
      .showValue(VisibilityMode.Never)
      .yAxis(new YAxisConfigBuilder().axisPlacement(AxisPlacement.Left).reverse(true))
      .showLegend()
  )
}
