/** The part of Grafana's dashboard JSON that the viewer draws; `features.ts` says what of it may be used. */

export interface DashboardJson {
  readonly uid: string
  readonly title: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly time?: { readonly from: string; readonly to: string }
  readonly refresh?: string
  readonly timepicker?: { readonly refresh_intervals?: readonly string[] }
  /** 0: each chart has a crosshair of its own. */
  readonly graphTooltip?: number
  readonly links?: readonly DashboardLinkJson[]
  readonly panels?: readonly PanelJson[]
  readonly templating?: { readonly list?: readonly VariableJson[] }
  readonly annotations?: { readonly list?: readonly AnnotationJson[] }
}

export interface LinkJson {
  readonly title: string
  readonly url: string
  readonly targetBlank?: boolean
}

export interface DashboardLinkJson {
  readonly title: string
  /** `dashboards`: all with one of the tags, which the bar on top holds anyway; `link`: the address. */
  readonly type: string
  readonly url?: string
  readonly tooltip?: string
  readonly tags?: readonly string[]
  readonly keepTime?: boolean
  readonly includeVars?: boolean
  readonly targetBlank?: boolean
}

export interface GridPosition {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

export interface PanelJson {
  readonly id: number
  readonly type: string
  readonly title?: string
  readonly description?: string
  readonly links?: readonly LinkJson[]
  readonly transparent?: boolean
  readonly gridPos: GridPosition
  /** The variable for each of whose values the panel is drawn once. */
  readonly repeat?: string
  readonly maxPerRow?: number
  /** Of rows: the panels are in `panels`, and hidden, instead of after the row. */
  readonly collapsed?: boolean
  readonly panels?: readonly PanelJson[]
  readonly targets?: readonly TargetJson[]
  /** Shortest `$__interval`, such as "5s". */
  readonly interval?: string
  readonly maxDataPoints?: number
  /** The panel's own range up to now, such as "24h". */
  readonly timeFrom?: string
  readonly hideTimeOverride?: boolean
  readonly fieldConfig?: FieldConfigJson
  readonly options?: PanelOptionsJson
  readonly transformations?: readonly TransformationJson[]
}

/** Options of all panel types together. */
export interface PanelOptionsJson {
  readonly graphMode?: string
  readonly colorMode?: string
  readonly textMode?: string
  readonly displayMode?: string
  readonly valueMode?: string
  readonly showUnfilled?: boolean
  readonly reduceOptions?: { readonly calcs?: readonly string[]; readonly fields?: string; readonly values?: boolean }
  readonly legend?: {
    readonly showLegend?: boolean
    readonly show?: boolean
    readonly displayMode?: string
    readonly calcs?: readonly string[]
  }
  readonly tooltip?: { readonly mode?: string; readonly sort?: string }
  readonly mergeValues?: boolean
  readonly showValue?: string
  readonly rowHeight?: number
  readonly showHeader?: boolean
  readonly sortBy?: readonly { readonly displayName: string; readonly desc?: boolean }[]
  readonly content?: string
  readonly color?: HeatmapColoursJson
  readonly filterValues?: { readonly le?: number; readonly ge?: number }
  readonly cellGap?: number
  readonly cellValues?: { readonly unit?: string; readonly decimals?: number }
  readonly yAxis?: { readonly reverse?: boolean; readonly axisLabel?: string }
}

export interface HeatmapColoursJson {
  readonly scheme?: string
  readonly reverse?: boolean
  readonly steps?: number
  readonly min?: number
  readonly max?: number
}

export interface TargetJson {
  readonly refId: string
  readonly query: string
  readonly resultFormat?: string
  readonly alias?: string
  readonly hide?: boolean
}

export interface VariableJson {
  readonly name: string
  /** `query` asks InfluxDB; `custom` lists its options in `query`, with commas between; `textbox` is written by hand. */
  readonly type?: string
  readonly label?: string
  readonly description?: string | null
  readonly query?: string | Record<string, unknown>
  readonly multi?: boolean
  readonly includeAll?: boolean
  readonly allValue?: string | null
  readonly current?: { readonly value?: string | readonly string[] }
  /** 1: no label; 2: not shown at all. */
  readonly hide?: number
}

export interface AnnotationJson {
  readonly name: string
  readonly enable?: boolean
  /** Not offered for switching. */
  readonly hide?: boolean
  readonly iconColor: string
  readonly target?: { readonly query: string; readonly textColumn?: string; readonly tagsColumn?: string }
  readonly filter?: { readonly exclude?: boolean; readonly ids: readonly number[] }
}

export interface ThresholdStep {
  readonly value: number | null
  readonly color: string
}

export interface FieldSettings {
  readonly displayName?: string
  readonly unit?: string
  readonly decimals?: number
  readonly min?: number
  readonly max?: number
  readonly noValue?: string
  readonly mappings?: readonly MappingJson[]
  readonly thresholds?: { readonly mode?: string; readonly steps: readonly ThresholdStep[] }
  readonly color?: { readonly mode: string; readonly fixedColor?: string }
  readonly links?: readonly LinkJson[]
  readonly custom?: FieldCustom
}

/** What only some panel types know of a field. */
export interface FieldCustom {
  readonly drawStyle?: string
  readonly lineInterpolation?: string
  readonly lineWidth?: number
  readonly lineStyle?: { readonly fill?: string; readonly dash?: readonly number[] }
  readonly fillOpacity?: number
  /** Name of the series down to which the area is filled. */
  readonly fillBelowTo?: string
  readonly showPoints?: string
  readonly pointSize?: number
  readonly spanNulls?: boolean | number
  readonly stacking?: { readonly mode?: string; readonly group?: string }
  readonly axisPlacement?: string
  readonly axisLabel?: string
  readonly axisSoftMin?: number
  readonly axisSoftMax?: number
  readonly hideFrom?: { readonly legend?: boolean; readonly tooltip?: boolean; readonly viz?: boolean }
  readonly thresholdsStyle?: { readonly mode: string }
  /** Of cells. */
  readonly displayMode?: string
  readonly cellOptions?: { readonly wrapText?: boolean }
  readonly align?: string
  readonly width?: number
  readonly minWidth?: number
  readonly hidden?: boolean
}

export interface MappingResult {
  readonly text?: string
  readonly color?: string
  readonly index?: number
}
export type MappingJson =
  | { readonly type: 'value'; readonly options: Readonly<Record<string, MappingResult>> }
  | {
      readonly type: 'range'
      readonly options: { readonly from: number; readonly to: number; readonly result: MappingResult }
    }
  | { readonly type: 'special'; readonly options: { readonly match: string; readonly result: MappingResult } }

export interface FieldConfigJson {
  readonly defaults: FieldSettings
  readonly overrides: readonly {
    readonly matcher: { readonly id: string; readonly options?: unknown }
    readonly properties: readonly { readonly id: string; readonly value?: unknown }[]
  }[]
}

export interface TransformationJson {
  readonly id: string
  readonly options: {
    readonly excludeByName?: Readonly<Record<string, boolean>>
    readonly indexByName?: Readonly<Record<string, number>>
    readonly renameByName?: Readonly<Record<string, string>>
    readonly sort?: readonly { readonly field?: string; readonly desc?: boolean }[]
    readonly byField?: string
    readonly mode?: string
  }
}
