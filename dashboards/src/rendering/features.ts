/**
 * What the viewer draws. `unknownFeatures` lists what a dashboard uses beyond that, down to option names and values: a test
 * fails on it, and the viewer says it on the panel. A name that means nothing for what is drawn is listed as `anything`.
 */
import { isKnownColour } from './colours.ts'
import type { DashboardJson, PanelJson } from './dashboard-json.ts'
import { unknownLinkMacros } from './links.ts'
import { isKnownFormat, macroFormats, macroNames } from './macros.ts'
import { isPanelType, panelShapes, titleOfPanel } from './panel-features.ts'
import {
  anything,
  complaints,
  either,
  type Fields,
  listOf,
  number,
  object,
  oneOf,
  type Shape,
  text,
  textThat,
  yesOrNo,
} from './shape.ts'
import { durationMs } from './time-range.ts'

const QUERY_MACROS = ['timeFilter', '__interval', '__interval_ms', '__from', '__to']
const ALIAS_MACRO = /^(tag_\w+|col|m|measurement)$/
/** The data source is the one that the viewer was given. */
const datasource = anything
const duration = textThat((value) => durationMs(value) !== undefined)

/** A text in which these macros may stand. */
const textWith =
  (isMacro: (name: string) => boolean): Shape =>
  (value, path, found) => {
    text(value, path, found)
    for (const name of macroNames(String(value))) if (!isMacro(name)) found.push(`${path}: macro $${name}`)
    for (const format of macroFormats(String(value)))
      if (!isKnownFormat(format)) found.push(`${path}: format :${format}`)
  }

interface Knowledge {
  /** A query, annotations' and variables' too. */
  readonly query: Shape
  /** What people read. */
  readonly title: Shape
  readonly link: Shape
  readonly isVariable: (name: string) => boolean
}

function knowledgeOf(dashboard: DashboardJson): Knowledge {
  const variables = (dashboard.templating?.list ?? []).map((v) => v.name)
  const isVariable = (name: string) => variables.includes(name)
  const url: Shape = (value, path, found) => {
    text(value, path, found)
    for (const name of unknownLinkMacros(String(value), variables, isKnownFormat)) found.push(`${path}: macro $${name}`)
  }
  return {
    query: textWith((name) => QUERY_MACROS.includes(name) || isVariable(name)),
    title: textWith(isVariable),
    link: object({ title: text, url, targetBlank: yesOrNo }),
    isVariable,
  }
}

export function unknownFeatures(dashboard: DashboardJson): string[] {
  const known = knowledgeOf(dashboard)
  const { panels = [], templating, annotations, ...rest } = dashboard
  return [
    ...complaints(object(DASHBOARD), rest),
    ...complaints(object({ list: anything }), templating ?? {}).map((what) => `templating: ${what}`),
    ...(templating?.list ?? []).flatMap((variable) =>
      complaints(object({ ...VARIABLE, query: variableQuery(known) }), variable).map(
        (what) => `variable ${variable.name}: ${what}`,
      ),
    ),
    ...(annotations?.list ?? []).flatMap((annotation) =>
      complaints(object({ ...ANNOTATION, target: annotationTarget(known) }), annotation).map(
        (what) => `annotation ${annotation.name}: ${what}`,
      ),
    ),
    ...panels.flatMap((panel) => ofPanel(panel, known)),
  ]
}

/** What one panel of the dashboard uses beyond what is drawn. */
export const unknownPanelFeatures = (panel: PanelJson, dashboard: DashboardJson): string[] =>
  panelComplaints(panel, knowledgeOf(dashboard))

function ofPanel(panel: PanelJson, known: Knowledge): string[] {
  const own = panelComplaints(panel, known).map((what) => `panel ${titleOfPanel(panel)}: ${what}`)
  return [...own, ...(panel.panels ?? []).flatMap((inner) => ofPanel(inner, known))]
}

function panelComplaints(panel: PanelJson, { query, title, link, isVariable }: Knowledge): string[] {
  const { type } = panel
  if (!isPanelType(type)) return [`type "${type}"`]
  const shapes: Fields = {
    ...panelShapes(type, link),
    id: number,
    type: anything,
    title,
    description: title,
    links: listOf(link),
    gridPos: object({ x: number, y: number, w: number, h: number, static: anything }),
    datasource,
    pluginVersion: anything,
    transparent: yesOrNo,
    targets: listOf(
      object({
        refId: text,
        query,
        rawQuery: oneOf(true),
        resultFormat: oneOf('time_series', 'table'),
        alias: textWith((name) => ALIAS_MACRO.test(name)),
        hide: yesOrNo,
        datasource,
      }),
    ),
    interval: duration,
    maxDataPoints: number,
    timeFrom: duration,
    hideTimeOverride: yesOrNo,
    repeat: textThat(isVariable),
    repeatDirection: oneOf('h'),
    maxPerRow: number,
  }
  if (type === 'text') return complaints(object({ ...shapes, options: textOptions(shapes, title) }), panel)
  if (type === 'row')
    return complaints(
      object({
        type: anything,
        id: number,
        title,
        gridPos: anything,
        datasource,
        collapsed: yesOrNo,
        panels: listOf(anything),
      }),
      panel,
    )
  return complaints(object(shapes), panel)
}

/** The content is read by people, so variables may stand in it. */
const textOptions =
  ({ options }: Fields, title: Shape): Shape =>
  (value, path, found) => {
    options?.(value, path, found)
    title((value as { content?: string } | undefined)?.content ?? '', `${path}.content`, found)
  }

const DASHBOARD: Fields = {
  uid: text,
  title: text,
  description: text,
  tags: listOf(text),
  time: object({ from: text, to: text }),
  timepicker: object({ refresh_intervals: listOf(duration), hidden: oneOf(false), time_options: anything }),
  timezone: oneOf('browser', ''),
  refresh: either(oneOf('', false), duration),
  graphTooltip: oneOf(0, 1),
  links: listOf(
    object({
      title: text,
      type: oneOf('dashboards', 'link'),
      url: text,
      tooltip: text,
      icon: anything,
      tags: listOf(text),
      asDropdown: anything,
      keepTime: yesOrNo,
      includeVars: yesOrNo,
      targetBlank: yesOrNo,
    }),
  ),
  // For Grafana's own housekeeping.
  id: anything,
  version: anything,
  schemaVersion: anything,
  editable: anything,
  fiscalYearStartMonth: anything,
  liveNow: oneOf(false),
  preload: anything,
  style: anything,
  weekStart: anything,
}

const VARIABLE: Fields = {
  name: text,
  type: oneOf('query', 'custom', 'textbox'),
  label: text,
  description: either(text, oneOf(null)),
  definition: anything,
  datasource,
  multi: yesOrNo,
  includeAll: yesOrNo,
  allValue: either(text, oneOf(null)),
  current: object({ text: anything, value: either(text, listOf(text)), selected: anything }),
  options: listOf(object({ text: anything, value: text, selected: anything })),
  hide: oneOf(0, 1, 2),
  regex: oneOf(''),
  /** As the answer has it, or by the alphabet. */
  sort: oneOf(0, 1),
  refresh: anything,
  skipUrlSync: oneOf(false),
  allowCustomValue: anything,
  auto: oneOf(false),
  auto_count: anything,
  auto_min: anything,
}
const variableQuery = ({ query }: Knowledge): Shape =>
  either(query, object({ query, refId: anything, rawQuery: anything, datasource, queryType: anything }))

const ANNOTATION: Fields = {
  name: text,
  enable: yesOrNo,
  hide: yesOrNo,
  iconColor: textThat(isKnownColour),
  filter: object({ exclude: yesOrNo, ids: listOf(number) }),
  datasource,
  placement: anything,
  builtIn: oneOf(0),
}
const annotationTarget = ({ query }: Knowledge): Shape =>
  object({
    query,
    textColumn: text,
    tagsColumn: text,
    refId: anything,
    rawQuery: oneOf(true),
    resultFormat: anything,
    fromAnnotations: anything,
    datasource,
  })
