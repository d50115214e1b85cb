/** The part of Grafana's dashboard JSON that our dashboards use and the viewer draws. */

export interface DashboardJson {
  readonly uid: string
  readonly title: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly time?: { readonly from: string; readonly to: string }
  readonly refresh?: string
  readonly timepicker?: { readonly refresh_intervals?: readonly string[] }
  readonly panels?: readonly PanelJson[]
  readonly templating?: { readonly list?: readonly VariableJson[] }
  readonly annotations?: { readonly list?: readonly AnnotationJson[] }
}

export interface PanelJson {
  readonly id: number
  readonly type: string
  readonly title?: string
  readonly description?: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly TargetJson[]
  /** Shortest `$__interval`, such as "5s". */
  readonly interval?: string
  /** The panel's own range up to now, such as "24h". */
  readonly timeFrom?: string
  readonly fieldConfig?: FieldConfigJson
  readonly options?: PanelOptionsJson
  readonly transformations?: readonly TransformationJson[]
}

export interface PanelOptionsJson {
  readonly graphMode?: string
  readonly legend?: { readonly showLegend?: boolean; readonly calcs?: readonly string[] }
}

export interface TargetJson {
  readonly refId: string
  readonly query: string
  readonly resultFormat?: string
  readonly alias?: string
}

export interface VariableJson {
  readonly name: string
  /** `query` asks InfluxDB; `custom` lists its options in `query`, with commas between. */
  readonly type?: string
  readonly label?: string
  readonly query?: string | Record<string, unknown>
  readonly multi?: boolean
  readonly includeAll?: boolean
  readonly allValue?: string
  readonly current?: { readonly value?: string | readonly string[] }
}

export interface AnnotationJson {
  readonly name: string
  readonly enable?: boolean
  readonly iconColor: string
  readonly target?: { readonly query: string; readonly textColumn?: string; readonly tagsColumn?: string }
  readonly filter?: { readonly exclude?: boolean; readonly ids: readonly number[] }
}

export interface ThresholdStep {
  readonly value: number | null
  readonly color: string
}

export interface FieldSettings {
  readonly unit?: string
  readonly decimals?: number
  readonly noValue?: string
  readonly mappings?: readonly MappingJson[]
  readonly thresholds?: { readonly mode?: string; readonly steps: readonly ThresholdStep[] }
  readonly color?: { readonly mode: string; readonly fixedColor?: string }
  readonly links?: readonly { readonly title: string; readonly url: string }[]
  readonly custom?: {
    readonly lineWidth?: number
    readonly fillOpacity?: number
    readonly spanNulls?: boolean | number
    readonly axisSoftMin?: number
    readonly axisSoftMax?: number
    readonly thresholdsStyle?: { readonly mode: string }
    /** Cells: `auto` or `color-text`. */
    readonly displayMode?: string
    readonly width?: number
  }
}

export interface MappingJson {
  readonly type: string
  readonly options: Readonly<
    Record<string, { readonly text?: string; readonly color?: string; readonly index?: number }>
  >
}

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
  }
}
