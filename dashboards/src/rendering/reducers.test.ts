import { expect, it } from 'vitest'
import { isKnownReducer, reduced } from './reducers.ts'

it.each([
  ['lastNotNull', 3],
  ['last', null],
  ['firstNotNull', 5],
  ['first', null],
  ['min', 1],
  ['max', 5],
  ['mean', 3],
  ['sum', 9],
  ['count', 5],
])('%s of nothing, 5, 1, 3, nothing is %s', (id, expected) => {
  expect(reduced([null, 5, 1, 3, null], id)).toBe(expected)
})
it('of nothing is nothing', () => {
  expect(['lastNotNull', 'max', 'mean', 'sum'].map((id) => reduced([], id))).toEqual([null, null, null, null])
  expect(isKnownReducer('stdDev')).toBe(false)
  expect(() => reduced([], 'stdDev')).toThrow(/"stdDev" is not known/)
})
