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

/** Where samples are counted: by steps, a step without any counting as none. What was measured later than `until` is on its way. */
interface Source {
  readonly widthMs: number
  readonly stepMs: number
  readonly until: string
  readonly condition: string
}

/** A step holds one sample at least, and whole windows. */
function sourceOf(contract: Contract, leastMs: number, until: string): Omit<Source, 'condition'> | undefined {
  const stepMs = Math.ceil(contract.interval / leastMs) * leastMs
  const widthMs = windowWidthsOf(contract).findLast((width) => width <= leastMs && leastMs % width === 0)
  return widthMs === undefined ? undefined : { widthMs, stepMs, until }
}

/** By minutes of a short range, by hours of a long one; by what there is where windows of one width are missing. */
function sourcesOf(contract: Contract): Source[] {
  const minutes = sourceOf(contract, MINUTE_MS, 'now() - 2m')
  const hours = sourceOf(contract, HOUR_MS, 'now() - 65m')
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
  return sourcesOf(contract).map(({ widthMs, stepMs, until, condition }) => {
    const percent = `mean("n") * 100 / ${stepMs / contract.interval}`
    const counted =
      `(SELECT sum(${identifier(`${field}_count`)}) AS "n" FROM "rollup".${identifier(`${contract.kind}_${windowName(widthMs)}`)} ` +
      `WHERE $timeFilter AND time < ${until} AND ${SITE_AND_DEVICE}${condition} GROUP BY time(${windowName(stepMs)}), "site", "device" fill(0))`
    return {
      // The first step begins before the range; with a condition on time here, InfluxDB 1.x would answer nothing.
      complete: `SELECT ${percent} AS "complete" FROM ${counted} GROUP BY "site", "device"`,
      absent: `SELECT 100 - ${percent} AS "absent" FROM ${counted} WHERE $timeFilter AND time < ${until} GROUP BY time($__interval), "device" fill(none)`,
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
          .scheme('Oranges')
          .steps(64)
          .reverse(false)
          .min(0)
          .max(ABSENT_PERCENT_SHOWN_MAX),
      )
      // More than was expected is less than nothing, and whole.
      .filterValues(new FilterValueRangeBuilder().le(-1_000_000))
      .cellValues(new CellValuesBuilder().unit('percent').decimals(1))
      .cellGap(1)
      .showValue(VisibilityMode.Never)
      .yAxis(new YAxisConfigBuilder().axisPlacement(AxisPlacement.Left).reverse(true))
      .showLegend()
  )
}
