import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSeriesJudge, type JudgeOptions } from './judge-series.ts'
import { decimalsOf, readNumber } from './number-cell.ts'

const judgeOf = (options: Partial<JudgeOptions>) =>
  createSeriesJudge({ detector: 'none', label: 'Level', unit: '', intervalMs: 1_000, ...options })
const judgeAll = (options: Partial<JudgeOptions>, values: readonly (number | string)[]) => {
  const judge = judgeOf(options)
  return values.map((value, i) => {
    const judgement = judge.judge(i * 1_000, Number(value), decimalsOf(String(value)))
    return { ...judgement, said: judgement.message() }
  })
}
const scores = (options: Partial<JudgeOptions>, values: readonly number[]) =>
  judgeAll(options, values).map(({ score }) => score)

describe('a series is judged', () => {
  test('by a range, and by a counter that only grows', () => {
    const [, high] = judgeAll({ min: 0, max: 100, unit: '%' }, [50, 120, 60])
    expect([high?.score, high?.component, high?.said]).toEqual([
      1,
      'out_of_range',
      expect.stringMatching(/^Level: 120 %, outside the range 0 to 100 %/),
    ])
    expect(scores({ min: 0, max: 100 }, [50, 120, -1, 60])).toEqual([0, 1, 1, 0])
    expect(scores({ counter: true }, [10, 20, 3, 5, 4.9])).toEqual([0, 0, 1, 0, 1])
    expect(scores({ counter: true, wrapsAt: 256 }, [250, 4, 100, 3])).toEqual([0, 0, 0, 1])
  })

  test.each([
    [{ min: 5, max: 5, detector: 'lite' }, 'range the first must be below the second'],
    [{ min: 0, max: 10, above: 12 }, 'above lies outside the range'],
    [{ counter: true, rate: '5/min' }, 'only grows'],
    [{ counter: true, wrapsAt: -1 }, 'wraps_at'],
    [{ wrapsAt: 5, above: 1 }, 'counters alone'],
  ] as const)('options that contradict each other are refused: %j', (options, said) => {
    expect(() => judgeOf(options)).toThrow(said)
  })

  test.each(['lite', 'full'] as const)('by %s, however small or large its values are', (detector) => {
    const series = Array.from({ length: 1_000 }, (_, i) => Math.sin(i / 7) + Math.sin(i * i) / 5 + (i === 900 ? 9 : 0))
    for (const size of [1e-15, 1e-6, 1, 1e6, 1e12]) {
      const judged = scores(
        { detector },
        series.map((value) => value * size),
      )
      expect(judged[900], `times ${size}`).toBeGreaterThanOrEqual(0.5)
      expect(judged.filter((score) => !(score >= 0 && score <= 1))).toEqual([])
    }
  })

  test.each(['lite', 'full'] as const)(
    'by %s, and what is too large for it has no score of another row',
    (detector) => {
      const values = Array.from({ length: 600 }, (_, i) => Math.sin(i / 7) + Math.sin(i * i) / 5)
      values[500] = 60
      values[501] = 1e305
      const judged = judgeAll({ detector }, values)
      expect(judged[500]?.score).toBeGreaterThanOrEqual(0.5)
      expect([judged[501]?.score, judged[501]?.said]).toEqual([0, ''])
    },
  )

  test('whatever is measured whenever, scores lie between 0 and 1, and a cut changes none', () => {
    const wild = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(0, 1, -1, 1e300, -1e300, 1.7e308, 5e-324),
    )
    const step = fc.constantFrom(1, 1_000, 1e-3, 60_000, 1e9, 1e13)
    const part = fc.tuple(wild, wild, step, fc.integer({ min: 1, max: 150 }))
    fc.assert(
      fc.property(
        fc.array(part, { minLength: 1, maxLength: 6 }),
        fc.constantFrom('lite', 'full'),
        fc.nat(800),
        (parts, detector, cut) => {
          const rows: { timeMs: number; value: number }[] = []
          for (const [value, other, stepMs, count] of parts)
            for (let i = 0; i < count; i++)
              rows.push({
                timeMs: (rows.at(-1)?.timeMs ?? 0) + stepMs,
                value: i % 7 === 6 ? other : value * (1 - i / 1e3),
              })
          const options = { intervalMs: undefined, detector, above: 5, flatline: 10_000, rate: '5/min' } as const
          const scoresOf = (some: typeof rows) => {
            const judge = judgeOf(options)
            return some.map(({ timeMs, value }) => judge.judge(timeMs, value, 2).score)
          }
          const whole = scoresOf(rows)
          for (const score of whole) if (!(score >= 0 && score <= 1)) throw new Error(`a score of ${score}`)
          expect(scoresOf(rows.slice(0, cut))).toEqual(whole.slice(0, cut))
        },
      ),
    )
  })

  test('rows that are almost no time apart, or ages', () => {
    for (const stepMs of [1e-9, 1e12]) {
      const judge = createSeriesJudge({ detector: 'full', label: 'Level', unit: '', rate: '5/min', flatline: 60_000 })
      for (let i = 0; i < 300; i++) expect(judge.judge(i * stepMs, i % 7, 0).score).toBeGreaterThanOrEqual(0)
    }
  })
})

test('numbers as they are written', () => {
  expect(['0.50', '5.0e-1', '1e-12', '2,5', '7', '1.5e3', 'x'].map(decimalsOf)).toEqual([2, 2, 12, 1, 0, 0, 0])
  expect(['1e-12', '+.5', '5.', 'TRUE', '-', '1e999'].map((cell) => readNumber(cell, false))).toEqual([
    ...[1e-12, 0.5, 5, 1, undefined, Number.NaN],
  ])
})
