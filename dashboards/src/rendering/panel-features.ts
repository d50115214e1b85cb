/** Which panels, options and looks of fields the viewer draws, down to the values. */
import { CONTINUOUS_MODES, isKnownScheme } from './colour-scales.ts'
import { isKnownColour } from './colours.ts'
import type { PanelJson } from './dashboard-json.ts'
import { isKnownMatcher } from './field-config.ts'
import { unknownMarkdown } from './markdown.ts'
import { isKnownReducer } from './reducers.ts'
import {
  anything,
  either,
  type Fields,
  listOf,
  mapOf,
  number,
  object,
  oneOf,
  type Shape,
  text,
  textThat,
  yesOrNo,
} from './shape.ts'
import { TRANSFORMATION_IDS } from './transformations.ts'
import { isKnownUnit } from './units.ts'
import { SPECIAL_MATCHES } from './value-mappings.ts'

export const PANEL_TYPES = [
  'timeseries',
  'stat',
  'table',
  'state-timeline',
  'heatmap',
  'bargauge',
  'text',
  'row',
] as const
export type PanelType = (typeof PANEL_TYPES)[number]

const colour = textThat(isKnownColour)
const calcs = listOf(textThat(isKnownReducer))
const legend = object({
  showLegend: yesOrNo,
  displayMode: oneOf('list', 'table'),
  placement: oneOf('bottom'),
  calcs,
  isVisible: yesOrNo,
  asTable: oneOf(false),
})
const tooltip = object({ mode: oneOf('multi', 'single', 'none'), sort: oneOf('none', 'asc', 'desc') })
const reduceOptions = object({
  values: oneOf(false),
  calcs,
  fields: textThat((value) => value === '' || /^\/.+\/$/.test(value)),
})
const hideFrom = object({ legend: yesOrNo, tooltip: yesOrNo, viz: yesOrNo })
const linear = object({ type: oneOf('linear') })
const spanNulls = either(yesOrNo, number)
/** A size that is left to the panel. */
const ownSize = object({})

const OPTIONS: Readonly<Record<PanelType, Fields>> = {
  timeseries: { legend, tooltip, timezone: oneOf('browser') },
  stat: {
    graphMode: oneOf('none', 'area'),
    colorMode: oneOf('none', 'value', 'background'),
    textMode: oneOf('auto', 'value', 'value_and_name'),
    justifyMode: oneOf('auto'),
    orientation: oneOf('auto', 'vertical', 'horizontal'),
    reduceOptions,
    text: ownSize,
    wideLayout: yesOrNo,
    showPercentChange: oneOf(false),
    percentChangeColorMode: anything,
  },
  table: {
    frameIndex: oneOf(0),
    showHeader: yesOrNo,
    showTypeIcons: oneOf(false),
    cellHeight: oneOf('sm'),
    footer: object({
      show: oneOf(false),
      countRows: oneOf(false),
      reducer: anything,
      fields: anything,
      enablePagination: oneOf(false),
    }),
    sortBy: listOf(object({ displayName: text, desc: yesOrNo })),
  },
  'state-timeline': {
    mergeValues: yesOrNo,
    showValue: oneOf('auto', 'always', 'never'),
    alignValue: oneOf('left'),
    rowHeight: number,
    perPage: anything,
    legend,
    tooltip,
    timezone: oneOf('browser'),
  },
  heatmap: {
    calculate: oneOf(false),
    color: object({
      mode: oneOf('scheme'),
      scheme: textThat(isKnownScheme),
      steps: number,
      reverse: yesOrNo,
      min: number,
      max: number,
      // Of the mode "opacity" alone.
      fill: anything,
      scale: anything,
      exponent: anything,
    }),
    filterValues: object({ le: number, ge: number }),
    rowsFrame: object({ layout: oneOf('auto', 'unknown') }),
    showValue: oneOf('never', 'auto'),
    cellGap: number,
    cellRadius: oneOf(0),
    cellValues: object({ unit: textThat(isKnownUnit), decimals: number }),
    yAxis: object({
      axisPlacement: oneOf('left'),
      axisLabel: text,
      reverse: yesOrNo,
      axisColorMode: oneOf('text'),
      axisCenteredZero: oneOf(false),
      axisBorderShow: oneOf(false),
      scaleDistribution: linear,
    }),
    legend: object({ show: yesOrNo }),
    tooltip: object({
      show: yesOrNo,
      mode: oneOf('single', 'multi', 'none'),
      yHistogram: oneOf(false),
      showColorScale: anything,
    }),
    exemplars: anything,
    selectionMode: oneOf('x'),
  },
  bargauge: {
    displayMode: oneOf('basic', 'gradient', 'lcd'),
    orientation: oneOf('horizontal'),
    valueMode: oneOf('color', 'text', 'hidden'),
    namePlacement: oneOf('auto', 'left'),
    showUnfilled: yesOrNo,
    sizing: oneOf('auto'),
    minVizWidth: anything,
    minVizHeight: anything,
    maxVizHeight: anything,
    reduceOptions,
    text: ownSize,
    legend: object({
      ...Object.fromEntries(['displayMode', 'placement', 'calcs'].map((key) => [key, anything])),
      showLegend: oneOf(false),
    }),
  },
  text: {
    mode: oneOf('markdown'),
    content: (value, path, found) => {
      text(value, path, found)
      for (const name of unknownMarkdown(String(value))) found.push(`${path}: ${name}`)
    },
    code: anything,
  },
  row: {},
}

const AXIS: Fields = {
  axisPlacement: oneOf('auto', 'left', 'right', 'hidden'),
  axisLabel: text,
  axisSoftMin: number,
  axisSoftMax: number,
  axisColorMode: oneOf('text'),
  axisCenteredZero: oneOf(false),
  axisBorderShow: oneOf(false),
  scaleDistribution: linear,
}

/** `custom` of a field, which only the panel type knows. */
const CUSTOM: Readonly<Record<PanelType, Fields>> = {
  timeseries: {
    ...AXIS,
    drawStyle: oneOf('line', 'bars', 'points'),
    lineInterpolation: oneOf('linear', 'stepBefore', 'stepAfter'),
    lineWidth: number,
    lineStyle: object({ fill: oneOf('solid', 'dash', 'dot'), dash: listOf(number) }),
    fillOpacity: number,
    fillBelowTo: text,
    gradientMode: oneOf('none'),
    barAlignment: oneOf(0),
    showPoints: oneOf('auto', 'never', 'always'),
    pointSize: number,
    spanNulls,
    insertNulls: oneOf(false),
    stacking: object({ mode: oneOf('none', 'normal'), group: text }),
    hideFrom,
    thresholdsStyle: object({ mode: oneOf('off', 'line', 'dashed', 'area', 'line+area', 'dashed+area') }),
  },
  stat: {},
  table: {
    displayMode: oneOf(
      'auto',
      'color-text',
      'color-background',
      'color-background-solid',
      'gradient-gauge',
      'lcd-gauge',
      'basic',
    ),
    cellOptions: object({ type: oneOf('auto'), wrapText: yesOrNo }),
    align: oneOf('auto', 'left', 'center', 'right'),
    width: number,
    minWidth: number,
    hidden: yesOrNo,
    inspect: oneOf(false),
    filterable: oneOf(false),
  },
  'state-timeline': { lineWidth: oneOf(0, 1), fillOpacity: number, spanNulls, hideFrom, insertNulls: oneOf(false) },
  heatmap: { hideFrom, scaleDistribution: linear },
  bargauge: {},
  text: {},
  row: {},
}

const result = object({ text, color: colour, index: number })
const mapping: Shape = (value, path, found) => {
  const { type } = (value ?? {}) as { type?: unknown }
  if (type === 'value') object({ type: anything, options: mapOf(result) })(value, path, found)
  // An end that is left open is 0 for Grafana 9.
  else if (type === 'range')
    object({ type: anything, options: object({ from: number, to: number, result }) })(value, path, found)
  else if (type === 'special')
    object({ type: anything, options: object({ match: oneOf(...SPECIAL_MATCHES), result }) })(value, path, found)
  else found.push(`${path}.type ${JSON.stringify(type)}`)
}

const colourOfField: Shape = (value, path, found) => {
  object({
    mode: oneOf('fixed', 'thresholds', 'palette-classic', ...CONTINUOUS_MODES),
    fixedColor: colour,
    seriesBy: oneOf('last'),
  })(value, path, found)
}

/** @param link of a field */
const fieldShapes = (link: Shape): Fields => ({
  displayName: text,
  description: text,
  unit: textThat(isKnownUnit),
  decimals: number,
  min: number,
  max: number,
  noValue: text,
  mappings: listOf(mapping),
  thresholds: object({
    mode: oneOf('absolute'),
    steps: listOf(object({ value: either(number, oneOf(null)), color: colour })),
  }),
  color: colourOfField,
  links: listOf(link),
})

const transformation = object({
  id: oneOf(...TRANSFORMATION_IDS),
  options: object({
    excludeByName: mapOf(yesOrNo),
    indexByName: mapOf(number),
    renameByName: mapOf(text),
    includeByName: object({}),
    reducers: listOf(anything),
    fields: object({}),
    sort: listOf(object({ field: text, desc: yesOrNo })),
    byField: text,
    mode: oneOf('outer'),
  }),
})

/** What a panel of this type may hold, but for its targets, links and texts, which depend on the dashboard. */
export function panelShapes(type: PanelType, link: Shape): Fields {
  const custom = CUSTOM[type]
  const field = fieldShapes(link)
  const properties: Fields = {
    ...field,
    ...Object.fromEntries(Object.entries(custom).map(([name, shape]) => [`custom.${name}`, shape])),
  }
  const property: Shape = (value, path, found) => {
    const { id, value: wanted } = value as { id: string; value?: unknown }
    const shape = Object.hasOwn(properties, id) ? properties[id] : undefined
    if (shape) shape(wanted, `${path} ${id}`, found)
    else found.push(`${path} ${id}`)
  }
  const matcher: Shape = (value, path, found) => {
    const { id } = value as { id: string }
    if (!isKnownMatcher(id)) found.push(`${path} ${id}`)
  }
  return {
    options: object(OPTIONS[type]),
    fieldConfig: object({
      defaults: object({ ...field, custom: object(custom) }),
      overrides: listOf(object({ matcher, properties: listOf(property) })),
    }),
    // Elsewhere they would change which series there are.
    transformations: listOf(type === 'table' ? transformation : oneOf()),
  }
}

export const isPanelType = (type: string): type is PanelType => (PANEL_TYPES as readonly string[]).includes(type)
export const titleOfPanel = (panel: PanelJson): string => panel.title || `${panel.type} ${panel.id}`
