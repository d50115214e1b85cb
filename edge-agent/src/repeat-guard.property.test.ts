import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRepeatGuard, keyOf } from './repeat-guard.ts'
import type { Sample } from './sample.ts'

const sample = (sequence: number, changes: Partial<Sample> = {}): Sample => ({
  device: 'd',
  kind: 'k',
  measuredAtMs: 1_700_000_000_000 + sequence,
  sequence,
  names: ['sequence', 'value'],
  values: [sequence, sequence / 3],
  ...changes,
})

describe('a repeat', () => {
  test('is recognised in any order and number while it is among the newest', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(99), { maxLength: 300 }), (sequences) => {
        const guard = createRepeatGuard(10_000, 100)
        const seen = new Set<number>()
        for (const sequence of sequences) {
          expect(guard.isRepeat(sample(sequence))).toBe(seen.has(sequence))
          seen.add(sequence)
        }
      }),
    )
  })

  test('is recognised after the sample was read back from columns, in another order of fields', () => {
    const guard = createRepeatGuard()
    guard.remember(
      { ...sample(5), measuredAtMs: undefined, names: ['value', 'sequence'], values: [5 / 3, 5] },
      1_700_000_000_005,
    )
    expect(guard.isRepeat(sample(5))).toBe(true)
    expect(guard.isRepeat(sample(5, { measuredAtMs: undefined }))).toBe(true)
    expect(guard.isRepeat(sample(6))).toBe(false)
  })

  test('is never a sample that differs in device, kind, time, or any name, value or type', () => {
    const guard = createRepeatGuard()
    expect(guard.isRepeat(sample(1))).toBe(false)
    for (const other of [
      sample(1, { device: 'e' }),
      sample(1, { kind: 'j' }),
      sample(1, { measuredAtMs: 1_700_000_000_002 }),
      sample(1, { names: ['sequence', 'valve'] }),
      sample(1, { values: [1, 1 / 3 + 1e-16] }),
      sample(1, { values: [1, true] }),
      sample(1, { values: [1, '0.3333333333333333'] }),
      sample(1, { names: ['sequence'], values: [1] }),
    ])
      expect(guard.isRepeat(other)).toBe(false)
  })

  test('is never a sample with neither time nor sequence', () => {
    const guard = createRepeatGuard()
    const bare = sample(1, { measuredAtMs: undefined, sequence: undefined, names: ['value'], values: [1] })
    expect([guard.isRepeat(bare), guard.isRepeat(bare)]).toEqual([false, false])
  })
})

test('keys of different samples differ', () => {
  const keys = new Set<number>()
  for (let i = 0; i < 100_000; i++) keys.add(keyOf(sample(i), 1_700_000_000_000 + i))
  for (let i = 0; i < 100_000; i++) keys.add(keyOf(sample(7, { values: [7, i / 10] }), 1_700_000_000_000))
  expect(keys.size).toBe(200_000)
})

test('memory is bounded: the device that was quiet for longest is forgotten, a busy one does not push out its own newest', () => {
  const guard = createRepeatGuard(1_000, 100)
  for (let d = 0; d < 200; d++) for (let i = 0; i < 10; i++) guard.isRepeat(sample(i, { device: `d${d}` }))
  expect(guard.isRepeat(sample(0, { device: 'd199' }))).toBe(true)
  expect(guard.isRepeat(sample(0, { device: 'd0' }))).toBe(false)
  for (let i = 0; i < 5_000; i++) expect(guard.isRepeat(sample(i, { device: 'busy' }))).toBe(false)
  for (let i = 4_901; i < 5_000; i++) expect(guard.isRepeat(sample(i, { device: 'busy' }))).toBe(true)
})
