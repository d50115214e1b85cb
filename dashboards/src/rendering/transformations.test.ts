import { describe, expect, it } from 'vitest'
import type { Table, Value } from './frames.ts'
import { transformed } from './transformations.ts'

const table = (columns: Readonly<Record<string, readonly Value[]>>): Table => ({
  refId: 'A',
  fields: Object.entries(columns).map(([name, values]) => ({ name, title: name, values })),
  rowCount: Object.values(columns)[0]?.length ?? 0,
})
const apply = (tables: readonly Table[], id: string, options = {}) =>
  transformed(tables, [{ id, options }]).map((t) => Object.fromEntries(t.fields.map((f) => [f.title, f.values])))

const agents = table({ device: ['a', 'b', 'c'], state: ['live', 'draining', null] })
const account = table({ device: ['b', 'a'], missing: [4, 0] })

describe('transformations', () => {
  it('organize orders, hides and renames', () => {
    const options = { excludeByName: { Time: true }, indexByName: { y: 0, device: 1 }, renameByName: { y: 'Why' } }
    const [result] = transformed([table({ Time: [1], device: ['a'], x: [2], y: [3] })], [{ id: 'organize', options }])
    expect(result?.fields.map((f) => [f.name, f.title])).toEqual([
      ['y', 'Why'],
      ['device', 'device'],
      ['x', 'x'],
    ])
  })
  it('merge makes one row of what agrees in the columns that all have', () => {
    expect(apply([agents, account], 'merge')).toEqual([
      { device: ['a', 'b', 'c'], state: ['live', 'draining', null], missing: [0, 4, null] },
    ])
  })
  it('merge keeps rows apart that contradict each other', () => {
    const twice = table({ device: ['a', 'a'], rule: ['x', 'y'] })
    expect(apply([twice, account], 'merge')).toEqual([
      { device: ['a', 'a', 'b'], rule: ['x', 'y', null], missing: [0, 0, 4] },
    ])
    const [other] = apply([table({ device: ['a'], n: [1] }), table({ device: ['a'], n: [2] })], 'merge')
    expect(other).toEqual({ device: ['a', 'a'], n: [1, 2] })
  })
  it('merge leaves out queries that found nothing, and tables that share no column', () => {
    expect(apply([agents, table({})], 'merge')).toEqual([
      { device: ['a', 'b', 'c'], state: ['live', 'draining', null] },
    ])
    expect(apply([agents, table({ x: [1] })], 'merge')).toHaveLength(2)
    expect(apply([], 'merge')).toEqual([])
  })
  it('sortBy sorts numbers as numbers, what is not known last', () => {
    const options = { sort: [{ field: 'n', desc: true }] }
    expect(apply([table({ n: [2, null, 10, 9], name: ['two', '-', 'ten', 'nine'] })], 'sortBy', options)).toEqual([
      { n: [10, 9, 2, null], name: ['ten', 'nine', 'two', '-'] },
    ])
    expect(apply([agents], 'sortBy', { sort: [{ field: 'nothing' }] })).toEqual(apply([agents], 'organize'))
  })
  it.each(['joinByField', 'seriesToColumns'])('%s puts columns beside each other by time', (id) => {
    const tables = [table({ Time: [20, 10], x: [2, 1] }), table({ Time: [10, 30], y: ['p', 'q'] })]
    expect(apply(tables, id, { byField: 'Time' })).toEqual([
      { Time: [10, 20, 30], x: [1, 2, null], y: ['p', null, 'q'] },
    ])
  })
  it('refuses what it does not know', () => {
    expect(() => apply([agents], 'groupBy')).toThrow(/"groupBy" is not known/)
  })
})
