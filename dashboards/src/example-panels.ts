/** What the dashboards of the viewer's own tests are made of. For tests only. */
import type { FieldSettings, PanelJson, TargetJson } from './rendering/dashboard-json.ts'

type Parts = Omit<Partial<PanelJson>, 'fieldConfig' | 'targets'> & {
  readonly defaults?: FieldSettings
  readonly overrides?: readonly object[]
  readonly targets?: readonly TargetJson[]
}

export const panel = (
  id: number,
  type: string,
  title: string,
  [x, y, w, h]: readonly number[],
  parts: Parts,
): PanelJson => {
  const { defaults = {}, overrides = [], ...rest } = parts
  return {
    id,
    type,
    title,
    gridPos: { x, y, w, h },
    interval: '5s',
    fieldConfig: { defaults, overrides },
    ...rest,
  } as PanelJson
}
export const target = (refId: string, query: string, alias?: string): TargetJson => ({
  refId,
  query,
  resultFormat: 'time_series',
  ...(alias === undefined ? {} : { alias }),
})
export const rows = (refId: string, query: string): TargetJson => ({ refId, query, resultFormat: 'table' })
export const grouped = 'WHERE $timeFilter GROUP BY time($__interval)'
export const of = (device: string) =>
  `WHERE $timeFilter AND "device" = '${device}' GROUP BY time($__interval) fill(null)`
export const look = (options: string, id: string, custom: Readonly<Record<string, unknown>>) => ({
  matcher: { id, options },
  properties: Object.entries(custom).map(([name, value]) => ({ id: name, value })),
})
export const legend = (displayMode: string, calcs: readonly string[]) => ({
  showLegend: true,
  displayMode,
  placement: 'bottom',
  calcs,
})
const time = { from: 'now-15m', to: 'now' }
export const common = { time, refresh: '', graphTooltip: 1, tags: ['overview'], templating: { list: [] } }
