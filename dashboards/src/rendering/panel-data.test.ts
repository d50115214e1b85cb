import { describe, expect, it } from 'vitest'
import type { PanelJson } from './dashboard-json.ts'
import type { InfluxAnswer } from './frames.ts'
import { fillLink } from './links.ts'
import { panelTable, rowTexts, singleValues } from './panel-data.ts'

const place = { id: 1, gridPos: { x: 0, y: 0, w: 24, h: 4 } }
const answer = (columns: string[], values: (string | number | null)[][], tags = {}): InfluxAnswer => ({
  results: [{ series: [{ name: 'm', columns, values, tags }] }],
})

describe('rowTexts', () => {
  const panel: PanelJson = {
    ...place,
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
    const table = panelTable(panel, [answer(['time', 'to', 'gone'], [[0, 1, null]], { device: 'pump 1' })])
    const row = rowTexts(table, 0, panel, 0)
    const url = `/d/\${__data.fields.to}?var-device=\${__data.fields.device}&x=\${__data.fields.gone}`
    expect(fillLink(url, { rawRange: { from: '', to: '' }, variables: [], row })).toBe(
      '/d/a%2Fb?var-device=pump%201&x=',
    )
  })
})

describe('singleValues', () => {
  const stat = (fields: string): PanelJson => ({
    ...place,
    type: 'stat',
    targets: [{ refId: 'A', query: '', resultFormat: 'time_series' }],
    options: { reduceOptions: { calcs: ['lastNotNull'], fields } },
  })
  const answers = [
    answer(
      ['time', 'stored'],
      [
        [1_000, 5],
        [2_000, 7],
      ],
    ),
  ]
  it('is the newest value, or the newest time when the panel asks for that', () => {
    expect(singleValues(stat(''), answers).map(({ value }) => value)).toEqual([7])
    expect(singleValues(stat('/^Time$/'), answers).map(({ value }) => value)).toEqual([2_000])
    expect(singleValues(stat('/^Time$/'), [{}])).toEqual([])
  })
})
