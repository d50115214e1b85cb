import { describe, expect, it } from 'vitest'
import type { PanelJson } from './dashboard-json.ts'
import type { InfluxAnswer } from './frames.ts'
import { fillLink } from './links.ts'
import { panelSeries, panelTable, rowTexts, singleValues, targetsOf } from './panel-data.ts'

const answer = (device: string, rows: (string | number | null)[][], ...columns: string[]): InfluxAnswer => ({
  results: [{ series: [{ name: 'm', tags: { device }, columns: ['time', ...columns], values: rows }] }],
})
const panel = (more: Partial<PanelJson>): PanelJson => ({
  id: 1,
  type: 'stat',
  gridPos: { x: 0, y: 0, w: 1, h: 1 },
  targets: [{ refId: 'A', query: '', alias: '$tag_device' }],
  ...more,
})
const reduceOptions = (fields: string, calculation = 'lastNotNull') => ({
  options: { reduceOptions: { calcs: [calculation], fields, values: false } },
})

describe('single values', () => {
  const answers = [
    answer(
      'a',
      [
        [10, 5],
        [20, 7],
        [30, null],
      ],
      'x',
    ),
  ]
  const valuesOf = (one: PanelJson, from = answers) =>
    singleValues(one, from).map(({ series, value }) => [series.name, value])
  it('are of the numbers, by the calculation', () => {
    expect(valuesOf(panel(reduceOptions('')))).toEqual([['a', 7]])
    expect(valuesOf(panel(reduceOptions('', 'sum')))).toEqual([['a', 12]])
    expect(valuesOf(panel(reduceOptions('')), [answer('a', [[10, 'live']], 'x')])).toEqual([])
  })
  it('are of the fields that a pattern names, texts and the time among them', () => {
    expect(valuesOf(panel(reduceOptions('/^Time$/')))).toEqual([['Time', 30]])
    expect(valuesOf(panel(reduceOptions('/^a$/')), [answer('a', [[10, 'live']], 'x')])).toEqual([['a', 'live']])
  })
  it('of a table are its columns', () => {
    const table = panel({ targets: [{ refId: 'A', query: '', resultFormat: 'table' }], ...reduceOptions('') })
    expect(valuesOf(table, [answer('a', [[10, 5, 2]], 'x', 'y')])).toEqual([
      ['x', 5],
      ['y', 2],
    ])
  })
  it('know the extremes of the panel, unless their field says them', () => {
    const fieldConfig = { defaults: { min: 0 }, overrides: [] }
    expect(singleValues(panel({ ...reduceOptions(''), fieldConfig }), answers)[0]?.span).toEqual([0, 7])
    expect(singleValues(panel(reduceOptions('')), answers)[0]?.span).toEqual([5, 7])
  })
})

it('series keep their query and their labels; hidden queries are not asked', () => {
  const targets = [
    { refId: 'A', query: '', hide: true },
    { refId: 'B', query: '', alias: '$tag_device' },
  ]
  expect(targetsOf(panel({ targets })).map(({ refId }) => refId)).toEqual(['B'])
  const fieldConfig = { defaults: { displayName: 'Of ${__field.labels.device}' }, overrides: [] }
  const [series] = panelSeries(panel({ targets, fieldConfig }), [answer('a', [[10, 5]], 'x')])
  expect(series).toMatchObject({ name: 'Of a', refId: 'B', labels: { device: 'a' } })
})

it('of several tables the first with rows is shown', () => {
  const targets = ['A', 'B'].map((refId) => ({ refId, query: '', resultFormat: 'table' }))
  const table = panelTable(panel({ type: 'table', targets }), [{}, answer('a', [[10, 5]], 'x')])
  expect(table).toMatchObject({ refId: 'B', rowCount: 1 })
  expect(panelTable(panel({ type: 'table', targets }), [{}, {}]).rowCount).toBe(0)
})

describe('rowTexts', () => {
  const table: PanelJson = {
    ...panel({}),
    type: 'table',
    targets: [{ refId: 'A', query: '', resultFormat: 'table' }],
    fieldConfig: {
      defaults: { noValue: 'nothing' },
      overrides: [
        {
          matcher: { id: 'byName', options: 'to' },
          properties: [{ id: 'mappings', value: [{ type: 'value', options: { 1: { text: 'a/b' } } }] }],
        },
      ],
    },
  }
  it('fills a link with what the cells say: the word of a mapping, and nothing for what is absent', () => {
    const found = panelTable(table, [answer('pump 1', [[0, 1, null]], 'to', 'gone')])
    const row = rowTexts(found, 0, table, 0)
    const url = `/d/\${__data.fields.to}?var-device=\${__data.fields.device}&x=\${__data.fields.gone}`
    expect(fillLink(url, { rawRange: { from: '', to: '' }, variables: [], row })).toBe(
      '/d/a%2Fb?var-device=pump%201&x=',
    )
  })
})
