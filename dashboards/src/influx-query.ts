import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'

/** One data source serves everything; its uid is the same in every installation. */
export const DATASOURCE = { type: 'influxdb', uid: 'tributary' } as const

export type ResultFormat = 'time_series' | 'table'

/** A target of Grafana's InfluxDB data source: InfluxQL as text. The foundation SDK has no class for it. */
export interface InfluxQuery {
  readonly refId: string
  readonly datasource: typeof DATASOURCE
  readonly rawQuery: true
  readonly resultFormat: ResultFormat
  readonly query: string
  /** Name of a series; `$tag_device`, `$col` and `$m` are filled in. */
  readonly alias?: string
}

export function influxQuery(
  refId: string,
  query: string,
  { format = 'time_series', alias }: { format?: ResultFormat; alias?: string } = {},
): Builder<Dataquery> {
  const built: InfluxQuery & Dataquery = {
    refId,
    datasource: DATASOURCE,
    rawQuery: true,
    resultFormat: format,
    query,
    ...(alias === undefined ? {} : { alias }),
    _implementsDataqueryVariant: () => undefined,
  }
  return { build: () => built }
}

/** "A" to "Z", then "A1" and on. */
export const refIdOf = (i: number): string => String.fromCharCode(65 + (i % 26)) + (i < 26 ? '' : Math.floor(i / 26))
