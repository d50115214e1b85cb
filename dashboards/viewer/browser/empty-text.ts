/** Why a panel is empty, in words. */
import type { PanelJson } from '../../src/rendering/dashboard-json.ts'
import { ALL_VALUE } from '../../src/rendering/macros.ts'
import { localTime } from '../../src/rendering/time-range.ts'
import type { PanelInput } from './panel-body.ts'

export function emptyText(panel: PanelJson, { range, variables, nowMs }: PanelInput): string {
  const said = panel.fieldConfig?.defaults.noValue
  if (said && said !== '–') return said
  const unfilled = variables.find((v) => v.isPattern && v.values.includes(ALL_VALUE) && v.options.length === 0)
  if (unfilled) return `Nothing is stored yet: InfluxDB knows no ${unfilled.name}`
  if (range.fromMs > nowMs) return 'This time range is still to come'
  const picked = variables.filter((v) => v.isStored && !v.values.includes(ALL_VALUE) && v.values.length > 0)
  const chosen = picked.map((v) => v.values.join(', ')).join(' · ')
  const today = localTime(nowMs).slice(0, 10)
  const when = (timeMs: number) => localTime(timeMs).replace(`${today} `, '')
  return `No data from ${when(range.fromMs)} to ${when(range.toMs)}${chosen ? ` for ${chosen}` : ''}`
}
