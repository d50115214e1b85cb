/**
 * What the viewer can draw. `unknownFeatures` lists what a dashboard uses beyond that: a test fails on it, and the viewer
 * says it on the panel.
 */
import { isKnownColour } from './colours.ts'
import type { DashboardJson, PanelJson } from './dashboard-json.ts'
import { isKnownMatcher, isKnownProperty } from './field-config.ts'
import { macroNames } from './macros.ts'
import { isKnownUnit } from './units.ts'
import { queryOf } from './variables.ts'

export const PANEL_TYPES = ['timeseries', 'stat', 'table', 'state-timeline'] as const
export type PanelType = (typeof PANEL_TYPES)[number]
const QUERY_MACROS = ['timeFilter', '__interval', '__interval_ms', '__from', '__to']
const LINK_MACROS = /^(__data\.fields\.\w+|__url_time_range)$/
const COLOUR_MODES = ['thresholds', 'fixed', 'palette-classic']
const VARIABLE_TYPES = ['query', 'custom']
const RESULT_FORMATS = ['time_series', 'table']
const ALIAS_MACRO = /^(tag_\w+|col|m|measurement)$/

export function unknownFeatures(dashboard: DashboardJson): string[] {
  const variables = (dashboard.templating?.list ?? []).map((v) => v.name)
  const macros = (query: string) => macroNames(query).filter((n) => !QUERY_MACROS.includes(n) && !variables.includes(n))
  const found: string[] = []
  for (const { name, type = 'query' } of dashboard.templating?.list ?? [])
    if (!VARIABLE_TYPES.includes(type)) found.push(`variable ${name}: type ${type}`)
  for (const variable of dashboard.templating?.list ?? [])
    found.push(...macros(queryOf(variable)).map((name) => `variable ${variable.name}: macro $${name}`))
  for (const { name, target, iconColor } of dashboard.annotations?.list ?? []) {
    found.push(...macros(target?.query ?? '').map((macro) => `annotation ${name}: macro $${macro}`))
    if (!isKnownColour(iconColor)) found.push(`annotation ${name}: colour ${iconColor}`)
  }
  for (const panel of dashboard.panels ?? [])
    found.push(...ofPanel(panel, macros, variables).map((text) => `panel ${panel.title ?? panel.id}: ${text}`))
  return found
}

function ofPanel(panel: PanelJson, macros: (query: string) => string[], variables: readonly string[]): string[] {
  const found: string[] = []
  const check = (isKnown: boolean, text: string) => {
    if (!isKnown) found.push(text)
  }
  check((PANEL_TYPES as readonly string[]).includes(panel.type), `type ${panel.type}`)
  for (const { query, resultFormat = 'time_series', alias = '' } of panel.targets ?? []) {
    for (const name of macros(query)) check(false, `macro $${name}`)
    check(RESULT_FORMATS.includes(resultFormat), `result format ${resultFormat}`)
    for (const name of macroNames(alias)) check(ALIAS_MACRO.test(name), `alias $${name}`)
  }
  for (const { id } of panel.transformations ?? []) check(id === 'organize', `transformation ${id}`)
  const defaults = panel.fieldConfig?.defaults
  const overrides = panel.fieldConfig?.overrides ?? []
  const properties = overrides.flatMap((o) => o.properties)
  const valuesOf = <T>(id: string, own: T | undefined): T[] => [
    ...(own === undefined ? [] : [own]),
    ...properties.filter((p) => p.id === id).map((p) => p.value as T),
  ]
  for (const { matcher } of overrides) check(isKnownMatcher(matcher.id), `override matcher ${matcher.id}`)
  for (const { id } of properties) check(isKnownProperty(id), `override property ${id}`)
  for (const unit of valuesOf('unit', defaults?.unit)) check(isKnownUnit(unit), `unit ${unit}`)
  for (const { mode, fixedColor } of valuesOf('color', defaults?.color)) {
    check(COLOUR_MODES.includes(mode), `colour mode ${mode}`)
    check(fixedColor === undefined || isKnownColour(fixedColor), `colour ${fixedColor}`)
  }
  for (const { mode = 'absolute', steps } of valuesOf('thresholds', defaults?.thresholds)) {
    check(mode === 'absolute', `threshold mode ${mode}`)
    for (const step of steps) check(isKnownColour(step.color), `colour ${step.color}`)
  }
  for (const mapping of valuesOf('mappings', defaults?.mappings).flat()) {
    check(mapping.type === 'value', `mapping type ${mapping.type}`)
    for (const { color } of Object.values(mapping.options)) check(!color || isKnownColour(color), `colour ${color}`)
  }
  for (const { url } of valuesOf('links', defaults?.links).flat())
    for (const [, braced, bare] of url.matchAll(/\$\{([^}]+)\}|\$(\w+)/g)) {
      const name = braced ?? bare ?? ''
      check(LINK_MACROS.test(name) || variables.includes(name), `link macro ${name}`)
    }
  return found
}
