import { expect, it } from 'vitest'
import { stacked } from './stacking.ts'

it('puts series of a group on top of each other, others not', () => {
  const columns = [
    [1, 2, null],
    [10, null, 30],
    [5, 5, 5],
    [100, 100, undefined],
  ]
  const { columns: drawn, below } = stacked(columns, ['A', 'A', undefined, 'A'], () => false)
  expect(drawn).toEqual([
    [1, 2, null],
    [11, null, 30],
    [5, 5, 5],
    [111, 102, undefined],
  ])
  expect(below).toEqual([undefined, 0, undefined, 1])
})
it('gives hidden series no room, and negative ones their own side', () => {
  const { columns, below } = stacked([[1], [2], [-3], [-4]], ['A', 'A', 'A', 'A'], (i) => i === 0)
  expect(columns).toEqual([[1], [2], [-3], [-7]])
  expect(below).toEqual([undefined, undefined, undefined, 2])
})
