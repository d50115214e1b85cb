import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { NabFile, Profile } from './corpus.ts'
import { groupsOf, halveFiles, halveGroups } from './halves.ts'
import { rowWorthOf, tallyAll } from './score.ts'
import { createSweep } from './sweep.ts'

const fileOf = (name: string, rows: number, windows: NabFile['windows'] = []): NabFile => {
  const values = new Float64Array(rows)
  return { name, group: name.split('/')[0] as string, timestamps: [], timesMs: values, values, windows }
}

/** Windows of a few rows with gaps between them, and a score for each row: few different ones, so that many are equal. */
const scored = fc
  .tuple(
    fc.integer({ min: 20, max: 60 }),
    fc.array(fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 })), { maxLength: 3 }),
    fc.array(fc.constantFrom(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, Number.NaN), { minLength: 60, maxLength: 60 }),
  )
  .map(([rows, spans, scores]) => {
    let row = Math.ceil(rows * 0.15)
    const windows = spans.flatMap(([gap, length]) => {
      const from = row + gap
      row = from + length
      return row < rows ? [{ from, to: row - 1 }] : []
    })
    return { file: fileOf('a/1', rows, windows), scores: Float64Array.from(scores.slice(0, rows)) }
  })
const profile = fc.constantFrom<Profile>(
  { name: 'standard', truePositive: 1, falsePositive: 0.11, falseNegative: 1 },
  { name: 'dear', truePositive: 1, falsePositive: 0.22, falseNegative: 1 },
  { name: 'all cheap', truePositive: 1, falsePositive: 0.01, falseNegative: 2 },
)

describe('the threshold that is best', () => {
  test('is found among all there are, for any choice of files', () => {
    fc.assert(
      fc.property(fc.array(scored, { minLength: 1, maxLength: 4 }), profile, fc.nat(15), (all, costs, choice) => {
        const isChosen = (_: unknown, f: number) => ((choice >> f) & 1) === 0
        const [files, scores] = [all.map(({ file }) => file), all.map((one) => one.scores)]
        const sumAt = (threshold: number) =>
          tallyAll(files.filter(isChosen), scores.filter(isChosen), threshold, costs).sum
        const { threshold, sum } = createSweep(files, scores).best(costs, (f) => isChosen(undefined, f))
        const sums = [Number.POSITIVE_INFINITY, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7].map(sumAt)
        expect(sum).toBeCloseTo(Math.max(...sums), 9)
        expect(sumAt(threshold)).toBeCloseTo(sum, 9)
      }),
    )
  })

  test('rewards early rows of a window, and spares false ones soon after it', () => {
    const { window, worth } = rowWorthOf(fileOf('a/1', 100, [{ from: 40, to: 49 }]))
    expect([window[39], window[40], window[49], window[50]]).toEqual([-1, 0, 0, -1])
    expect(worth[40]).toBe(1)
    expect([worth[39], worth[77]]).toEqual([1, 1])
    for (let row = 41; row < 50; row++) expect(worth[row]).toBeLessThan(worth[row - 1] as number)
    for (let row = 51; row < 77; row++) expect(worth[row]).toBeGreaterThan(worth[row - 1] as number)
    expect(worth[50]).toBeCloseTo(1 - 2 / (1 + Math.exp(5 / 9)), 12)
  })
})

test('halves share no file and lack none; each group is halved, or is whole in one', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 7 }), fc.nat(), (sizes, seed) => {
      const files = sizes.flatMap((size, g) => Array.from({ length: size }, (_, i) => fileOf(`g${g}/${i}`, 1)))
      const within = halveFiles(files, seed)
      expect(within).toEqual(halveFiles(files, seed))
      const share = (isFirst: readonly boolean[], group: string) =>
        files.reduce((count, file, f) => count + (file.group === group && isFirst[f] ? 1 : 0), 0)
      expect(within.isFirst.length).toBe(files.length)
      for (const [g, group] of groupsOf(files).entries())
        expect(Math.abs(2 * share(within.isFirst, group) - (sizes[g] as number))).toBeLessThanOrEqual(1)
      expect(Math.abs(2 * within.isFirst.filter(Boolean).length - files.length)).toBeLessThanOrEqual(1)
      const byGroups = halveGroups(files, seed)
      for (const [g, group] of groupsOf(files).entries())
        expect([0, sizes[g]]).toContain(share(byGroups.isFirst, group))
    }),
  )
})
