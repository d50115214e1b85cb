import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRangeSet } from './range-set.ts'

const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ add: fc.integer({ min: 1, max: 60 }) }) },
    { weight: 1, arbitrary: fc.record({ addThrough: fc.integer({ min: 0, max: 60 }) }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 30 }))
        .map(([from, more]) => ({ from, to: from + more })),
    },
  ),
  { maxLength: 80 },
)
const all = Array.from({ length: 62 }, (_, i) => i)

test('it is a set: whatever is added and not removed is in it, and nothing else', () => {
  fc.assert(
    fc.property(steps, (history) => {
      const set = createRangeSet(1_000)
      const model = new Set<number>()
      for (const step of history)
        if ('add' in step) {
          set.add(step.add)
          model.add(step.add)
        } else if ('from' in step) {
          set.remove(step.from, step.to)
          for (let i = step.from; i <= step.to; i++) model.delete(i)
        } else {
          set.addThrough(step.addThrough)
          for (let i = 1; i <= step.addThrough; i++) model.add(i)
        }
      expect(all.filter((i) => set.has(i))).toEqual(all.filter((i) => model.has(i)))
      const flat = set.ranges.flat()
      expect(flat).toEqual([...flat].sort((a, b) => a - b))
      for (let i = 1; i < set.ranges.length; i++)
        expect((set.ranges[i] as [number, number])[0]).toBeGreaterThan((set.ranges[i - 1] as [number, number])[1] + 1)
      expect(createRangeSet(1_000, set.ranges).ranges).toEqual(set.ranges)
    }),
  )
})

test('at its limit it forgets, and never claims what was not added', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 80 }),
      fc.integer({ min: 1, max: 5 }),
      (numbers, most) => {
        const set = createRangeSet(most)
        for (const n of numbers) set.add(n)
        expect(set.ranges.length).toBeLessThanOrEqual(most)
        for (const i of all) if (set.has(i)) expect(numbers).toContain(i)
      },
    ),
  )
})
