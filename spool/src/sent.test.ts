import { createFaultyFileSystem } from '@tributary/runtime/testing'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type CursorState, createCursorFile, readCursor } from './cursor.ts'
import { createSent, SENT_RANGES_MAX } from './sent.ts'

it('equals a set of numbers, whatever is marked in which order', () => {
  const marks = fc.array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: -1, max: 12 })), { maxLength: 40 })
  const property = fc.property(fc.nat({ max: 10 }), marks, (start, list) => {
    const sent = createSent(start)
    const model = new Set(Array.from({ length: start }, (_, i) => i + 1))
    for (const [from, more] of list) {
      const before = model.size
      for (let n = Math.max(1, from); n <= from + more; n++) model.add(n)
      expect(sent.mark(from, from + more)).toBe(model.size > before)
      let through = 0
      while (model.has(through + 1)) through += 1
      expect(sent.through).toBe(through)
      const beyond = [...model].filter((n) => n > through).sort((a, b) => a - b)
      expect(sent.ranges.flatMap(({ from: f, to }) => Array.from({ length: to - f + 1 }, (_, i) => f + i))).toEqual(
        beyond,
      )
      expect(sent.ranges.every((range, i) => i === 0 || range.from > (sent.ranges[i - 1]?.to ?? 0) + 1)).toBe(true)
    }
  })
  fc.assert(property, { numRuns: 500 })
})

it('forgets the lowest of very many ranges', () => {
  const sent = createSent(0)
  for (let i = 1; i <= SENT_RANGES_MAX + 3; i++) sent.mark(10 * i, 10 * i + 4)
  expect(sent.ranges).toHaveLength(SENT_RANGES_MAX)
  expect(sent.ranges[0]).toEqual({ from: 40, to: 44 })
})

it('gives the losses that were reported precedence on the disk', async () => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const fileSystem = disk.mount()
  await fileSystem.makeFolder('/data')
  const state = (lossCount: number): CursorState => ({
    epoch: { epoch: '0011223344556677', firstSequence: 1 },
    closed: true,
    unusedReported: false,
    sentThrough: 1,
    sentRanges: Array.from({ length: SENT_RANGES_MAX }, (_, i) => ({ from: 10_000 + 10 * i, to: 10_004 + 10 * i })),
    trimmedThrough: 0,
    durableThrough: 20_000,
    reservedThrough: 20_000,
    total: 2 ** 47,
    reported: Array.from({ length: lossCount }, (_, i) => ({ fromSequence: 5 * i + 3, toSequence: 5 * i + 4 })),
  })
  for (const [lossCount, rangeCount] of [
    [0, 100],
    [235, 100],
    [236, 99],
    [300, 35],
  ] as const) {
    const file = createCursorFile('/data/cursor', fileSystem, await readCursor('/data/cursor', fileSystem))
    await file.write(state(lossCount))
    await file.close()
    const { state: found } = await readCursor('/data/cursor', fileSystem)
    expect(found).toEqual({ ...state(lossCount), sentRanges: state(0).sentRanges.slice(-rangeCount) })
  }
})
