import { describe, expect, it } from 'vitest'
import { aligned, tableOf, tagValuesOf, timeSeriesOf, withGaps, withHoles } from './frames.ts'

const answer = {
  results: [
    {
      series: [
        {
          name: 'm',
          tags: { device: 'a' },
          columns: ['time', 'x', 'y'],
          values: [
            [1, 10, 'p'],
            [2, null, 'q'],
          ],
        },
        { name: 'm', tags: { device: 'b' }, columns: ['time', 'x', 'y'], values: [[3, 30, 'r']] },
      ],
    },
  ],
}

describe('answers', () => {
  it('become series, one a column and group', () => {
    expect(timeSeriesOf(answer, '$tag_device/$col').map((s) => s.name)).toEqual(['a/x', 'a/y', 'b/x', 'b/y'])
    expect(timeSeriesOf(answer, undefined, 'B')[0]).toEqual({
      name: 'm.x {device: a}',
      refId: 'B',
      labels: { device: 'a' },
      timesMs: [1, 2],
      values: [10, null],
    })
    expect(timeSeriesOf({}, undefined)).toEqual([])
    expect(timeSeriesOf({ results: [{}] }, undefined)).toEqual([])
  })
  it('become one table: time, tags, columns', () => {
    const table = tableOf(answer)
    expect(table.fields.map((f) => [f.name, f.values])).toEqual([
      ['Time', [1, 2, 3]],
      ['device', ['a', 'a', 'b']],
      ['x', [10, null, 30]],
      ['y', ['p', 'q', 'r']],
    ])
    expect(tableOf({}, 'B')).toEqual({ refId: 'B', fields: [], rowCount: 0 })
  })
  it('give the values of a tag once', () => {
    const values = [
      ['device', 'a'],
      ['device', 'b'],
      ['device', 'a'],
    ]
    expect(tagValuesOf({ results: [{ series: [{ columns: ['key', 'value'], values }] }] })).toEqual(['a', 'b'])
  })
})

describe('lines', () => {
  it('share one time axis', () => {
    const series = timeSeriesOf(answer, '$tag_device/$col').filter((s) => s.name.endsWith('x'))
    expect(aligned(series)).toEqual({
      timesMs: [1, 2, 3],
      columns: [
        [10, null, undefined],
        [undefined, undefined, 30],
      ],
    })
  })
  it.each([
    [false, [1, null, 3, undefined, null, null, 7]],
    [true, [1, undefined, 3, undefined, undefined, undefined, 7]],
    [2_000, [1, undefined, 3, null, null, null, 7]],
    [4_000, [1, undefined, 3, undefined, undefined, undefined, 7]],
  ])('break where spanNulls is %s', (spanNulls, expected) => {
    const times = [0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000]
    expect(withHoles(times, [1, null, 3, undefined, null, null, 7], spanNulls)).toEqual(expected)
  })
  it('states break where nothing was heard for longer', () => {
    const times = [0, 10, 20, 30, 40]
    const states = ['live', null, 'live', null, null]
    expect(withGaps(times, states, 15)).toEqual(['live', null, 'live', null, null])
    expect(withGaps(times, states, 20)).toEqual(['live', undefined, 'live', undefined, undefined])
    expect(withGaps(times, [null, null, null, 'live', 'live'], 20)).toEqual([null, null, null, 'live', 'live'])
    expect(withGaps(times, states, false)[4]).toBeNull()
  })
})
