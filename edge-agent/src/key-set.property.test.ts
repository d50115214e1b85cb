import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createKeySet } from './key-set.ts'

test('has what was added and nothing else, as a Set has', () => {
  // Neighbours and keys that share their lower half, too.
  const key = fc.oneof(
    fc.maxSafeNat(),
    fc.nat(64),
    fc.nat(2 ** 20).map((high) => high * 2 ** 32 + 7),
  )
  fc.assert(
    fc.property(fc.array(key, { maxLength: 500 }), fc.array(key, { maxLength: 50 }), (added, asked) => {
      const set = createKeySet()
      const model = new Set<number>()
      for (const each of added) {
        expect(set.has(each)).toBe(model.has(each))
        if (!model.has(each)) set.add(each)
        model.add(each)
      }
      expect(set.size).toBe(model.size)
      for (const each of [...added, ...asked]) expect(set.has(each)).toBe(model.has(each))
    }),
  )
})
