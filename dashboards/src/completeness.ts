/**
 * How much of what a contract's `interval` lets expect has come: samples that the narrow windows counted, minute by minute, a
 * minute without any counting as none. The last two minutes are not judged: they are on their way.
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
import { influxQuery } from './influx-query.ts'
import { identifier, SITE_AND_DEVICE } from './influxql.ts'
import { type PanelPlace, place } from './panels.ts'

const MINUTE_MS = 60_000
const JUDGED = 'time < now() - 2m'

/** Of which its windows tell; undefined when none do. */
function countedOf(contract: Contract): { measurement: string; field: string; widthMs: number } | undefined {
  const widthMs = windowWidthsOf(contract)
    .filter((width) => width <= MINUTE_MS && MINUTE_MS % width === 0)
    .at(-1)
  const fields = shownFields(contract)
  const [field] = fields.find(([, one]) => one.required) ?? fields[0] ?? []
  return widthMs === undefined || field === undefined
    ? undefined
    : {
        measurement: `"rollup".${identifier(`${contract.kind}_${windowName(widthMs)}`)}`,
        field: identifier(`${field}_count`),
        widthMs,
      }
}

/** Percent of the expected samples. @returns undefined for a kind without windows. @param grouped behind GROUP BY */
export function completenessQuery(contract: Contract, grouped: string): string | undefined {
  const counted = countedOf(contract)
  if (!counted) return undefined
  const stepMs = Math.max(MINUTE_MS, contract.interval)
  const step = windowName(Math.ceil(stepMs / MINUTE_MS) * MINUTE_MS)
  const expected = (Math.ceil(stepMs / MINUTE_MS) * MINUTE_MS) / contract.interval
  return (
    `SELECT mean("n") * 100 / ${expected} AS "complete" FROM (SELECT sum(${counted.field}) AS "n" FROM ${counted.measurement} ` +
    `WHERE $timeFilter AND ${JUDGED} AND ${SITE_AND_DEVICE} GROUP BY time(${step}), "site", "device" fill(0)) ` +
    `WHERE $timeFilter AND ${JUDGED} GROUP BY ${grouped}`
  )
}

/** A row a device, a cell an hour: the fuller the brighter. */
export function completenessMap(at: PanelPlace, query: string) {
  return (
    place(new HeatmapPanel(), at)
      .targets([influxQuery('A', query, { alias: '$tag_device' })])
      .interval('1h')
      .unit('percent')
      .decimals(1)
      .calculate(false)
      .color(
        new HeatmapColorOptionsBuilder()
          .mode(HeatmapColorMode.Scheme)
          .scheme('Viridis')
          .steps(64)
          .reverse(false)
          .min(50)
          .max(100),
      )
      // 0 is what is looked for.
      .filterValues(new FilterValueRangeBuilder().le(-1))
      .cellValues(new CellValuesBuilder().unit('percent').decimals(1))
      .cellGap(1)
      .showValue(VisibilityMode.Never)
      .yAxis(new YAxisConfigBuilder().axisPlacement(AxisPlacement.Left).reverse(true))
      .showLegend()
  )
}
