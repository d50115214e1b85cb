import { describe, expect, it } from 'vitest'
import type { DashboardJson, PanelJson } from './dashboard-json.ts'
import { unknownFeatures } from './features.ts'

const gridPos = { x: 0, y: 0, w: 1, h: 1 }
/** What the viewer has against a panel of this type with these parts. */
function against(type: string, parts: object, more: Partial<DashboardJson> = {}): string[] {
  const panel = { id: 1, type, title: 'P', gridPos, ...parts } as unknown as PanelJson
  return unknownFeatures({ uid: 'x', title: 'X', panels: [panel], ...more }).map((text) =>
    text.replace('panel P: ', ''),
  )
}
const field = (defaults: object, overrides: object[] = []) => ({ fieldConfig: { defaults, overrides } })
const override = (id: string, property: string, value: unknown) => [
  { matcher: { id, options: 'x' }, properties: [{ id: property, value }] },
]

describe('unknownFeatures', () => {
  it.each<[string, string, object, string]>([
    ['a panel type', 'gauge', {}, 'type "gauge"'],
    ['an option', 'timeseries', { options: { zoom: 1 } }, 'options.zoom'],
    [
      "an option's value",
      'timeseries',
      { options: { legend: { placement: 'right' } } },
      'options.legend.placement "right"',
    ],
    ["another type's option", 'table', { options: { legend: {} } }, 'options.legend'],
    [
      'a calculation',
      'stat',
      { options: { reduceOptions: { calcs: ['stdDev'] } } },
      'options.reduceOptions.calcs[0] "stdDev"',
    ],
    [
      'rows as values',
      'bargauge',
      { options: { reduceOptions: { values: true } } },
      'options.reduceOptions.values true',
    ],
    ['a standing bar', 'bargauge', { options: { orientation: 'vertical' } }, 'options.orientation "vertical"'],
    ['a computed heat map', 'heatmap', { options: { calculate: true } }, 'options.calculate true'],
    ['a colour scheme', 'heatmap', { options: { color: { scheme: 'Rainbow' } } }, 'options.color.scheme "Rainbow"'],
    ['HTML', 'text', { options: { mode: 'html' } }, 'options.mode "html"'],
    ['an image in a text', 'text', { options: { content: '![a](/b)' } }, 'options.content: an image'],
    ['a macro in a text', 'text', { options: { content: '$nothing' } }, 'options.content: macro $nothing'],
    ['a macro in a title', 'stat', { title: 'P', description: '$nothing' }, 'description: macro $nothing'],
    ['a field setting', 'stat', field({ filterable: true }), 'fieldConfig.defaults.filterable'],
    ['a unit', 'stat', field({ unit: 'furlongs' }), 'fieldConfig.defaults.unit "furlongs"'],
    ['a colour mode', 'stat', field({ color: { mode: 'shades' } }), 'fieldConfig.defaults.color.mode "shades"'],
    [
      'a colour',
      'stat',
      field({ color: { mode: 'fixed', fixedColor: 'pink' } }),
      'fieldConfig.defaults.color.fixedColor "pink"',
    ],
    [
      'percentages as thresholds',
      'stat',
      field({ thresholds: { mode: 'percentage', steps: [] } }),
      'fieldConfig.defaults.thresholds.mode "percentage"',
    ],
    [
      'a regex mapping',
      'stat',
      field({ mappings: [{ type: 'regex', options: {} }] }),
      'fieldConfig.defaults.mappings[0].type "regex"',
    ],
    [
      'an open range',
      'stat',
      field({ mappings: [{ type: 'range', options: { from: null, to: 1, result: {} } }] }),
      'fieldConfig.defaults.mappings[0].options.from null',
    ],
    [
      'a special match',
      'stat',
      field({ mappings: [{ type: 'special', options: { match: 'zero', result: {} } }] }),
      'fieldConfig.defaults.mappings[0].options.match "zero"',
    ],
    [
      'smooth lines',
      'timeseries',
      field({ custom: { lineInterpolation: 'smooth' } }),
      'fieldConfig.defaults.custom.lineInterpolation "smooth"',
    ],
    [
      'stacks of percentages',
      'timeseries',
      field({ custom: { stacking: { mode: 'percent' } } }),
      'fieldConfig.defaults.custom.stacking.mode "percent"',
    ],
    ["another type's look", 'table', field({ custom: { drawStyle: 'bars' } }), 'fieldConfig.defaults.custom.drawStyle'],
    ['a matcher', 'stat', field({}, override('byType', 'unit', 's')), 'fieldConfig.overrides[0].matcher byType'],
    [
      'a property',
      'stat',
      field({}, override('byName', 'custom.sparkle', 1)),
      'fieldConfig.overrides[0].properties[0] custom.sparkle',
    ],
    [
      "a property's value",
      'timeseries',
      field({}, override('byName', 'custom.drawStyle', 'area')),
      'fieldConfig.overrides[0].properties[0] custom.drawStyle "area"',
    ],
    [
      'a cell',
      'table',
      field({}, override('byName', 'custom.displayMode', 'image')),
      'fieldConfig.overrides[0].properties[0] custom.displayMode "image"',
    ],
    [
      'a transformation',
      'table',
      { transformations: [{ id: 'groupBy', options: {} }] },
      'transformations[0].id "groupBy"',
    ],
    [
      'a transformation elsewhere',
      'stat',
      { transformations: [{ id: 'merge', options: {} }] },
      'transformations[0] {"id":"merge","options":{}}',
    ],
    [
      "a transformation's option",
      'table',
      { transformations: [{ id: 'joinByField', options: { mode: 'inner' } }] },
      'transformations[0].options.mode "inner"',
    ],
    [
      'a macro in a query',
      'stat',
      { targets: [{ refId: 'A', query: 'SELECT $x WHERE $timeFilter' }] },
      'targets[0].query: macro $x',
    ],
    [
      'a result format',
      'stat',
      { targets: [{ refId: 'A', query: '', resultFormat: 'logs' }] },
      'targets[0].resultFormat "logs"',
    ],
    ['a built query', 'stat', { targets: [{ refId: 'A', rawQuery: false }] }, 'targets[0].rawQuery false'],
    ['an alias', 'stat', { targets: [{ refId: 'A', query: '', alias: '$0' }] }, 'targets[0].alias: macro $0'],
    [
      'a macro in a link',
      'stat',
      { links: [{ title: 'L', url: '/d/x?${__user.login}' }] },
      'links[0].url: macro $__user.login',
    ],
    ['a vertical repeat', 'stat', { repeatDirection: 'v' }, 'repeatDirection "v"'],
    ['a repeat by nothing', 'stat', { repeat: 'device' }, 'repeat "device"'],
    ['a repeated row', 'row', { repeat: 'device' }, 'repeat'],
    ['a shifted time', 'stat', { timeShift: '1d' }, 'timeShift'],
  ])('names %s', (_, type, parts, expected) => {
    expect(against(type, parts)).toEqual([expected])
  })

  it('looks into closed rows, variables, annotations, and the dashboard itself', () => {
    const inner = { id: 2, type: 'gauge', title: 'Inner', gridPos } as PanelJson
    expect(against('row', { collapsed: true, panels: [inner] })).toEqual(['panel Inner: type "gauge"'])
    const dashboard = {
      uid: 'x',
      title: 'X',
      graphTooltip: 2,
      templating: { list: [{ name: 'v', type: 'adhoc', query: '$w', regex: '/x/' }] },
      annotations: { list: [{ name: 'a', iconColor: 'pink', target: { query: '$w', limit: 3 } }] },
    } as unknown as DashboardJson
    expect(unknownFeatures(dashboard)).toEqual([
      'graphTooltip 2',
      'variable v: type "adhoc"',
      'variable v: query: macro $w',
      'variable v: regex "/x/"',
      'annotation a: iconColor "pink"',
      'annotation a: target.query: macro $w',
      'annotation a: target.limit',
    ])
  })
})
