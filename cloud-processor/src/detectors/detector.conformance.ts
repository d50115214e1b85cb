/** What every detector of a series promises; each passes this suite. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Detector, ORDINARY, restoreState, type Verdict } from './detector.ts'
import { HEALTHY, normal, seededRandom } from './simulated-series.ts'

type Point = readonly [timeMs: number, value: number]
type Said = Verdict | undefined

function judge<State extends object>(detector: Detector<State>, points: readonly Point[]): Said[] {
  const state = detector.start()
  return points.map(([timeMs, value]) => detector.observe(state, timeMs, value))
}

/** Ordinary, then trouble of every sort: spikes, a shift, a standstill, a gap, times that repeat and run back. */
function troubled(seed: number, count: number): Point[] {
  const random = seededRandom(seed)
  let timeMs = 1_767_225_600_000
  let level = 3
  let held: number | undefined
  return Array.from({ length: count }, (_): Point => {
    const chance = random()
    if (chance < 0.003) level = 3 + 10 * random()
    if (chance > 0.995) held = held === undefined ? level : undefined
    timeMs += chance > 0.4 && chance < 0.41 ? -500 : chance > 0.5 && chance < 0.503 ? 600_000 : 200 + 1_600 * random()
    const spike = chance > 0.6 && chance < 0.606 ? 20 * normal(random) : 0
    return [Math.round(timeMs), held ?? level + spike + 0.2 * normal(random)]
  })
}

/** @param create a detector with limits near 3 to 8 and times of some 10 s, so that the troubled series makes it speak */
export function describeDetector<State extends object>(
  name: string,
  create: () => Detector<State>,
  stateBytesMax = 1_024,
): void {
  describe(`${name} conforms`, () => {
    test('it speaks on a troubled series', () => {
      const said = [1, 2, 3, 4].flatMap((seed) => judge(create(), troubled(seed, 2_000)).filter((v) => v !== undefined))
      expect(said.some((v) => v.anomalous)).toBe(true)
      expect(said.filter((v) => !v.anomalous).length).toBeGreaterThan(4)
    })

    test('cutting the series changes no verdict before the cut', () => {
      fc.assert(
        fc.property(fc.integer(), fc.integer({ min: 1, max: 600 }), (seed, cut) => {
          const points = troubled(seed, 600)
          expect(judge(create(), points.slice(0, cut))).toEqual(judge(create(), points).slice(0, cut))
        }),
        { numRuns: 20 },
      )
    })

    test('state restored from JSON at any point gives the same verdicts', () => {
      fc.assert(
        fc.property(fc.integer(), fc.integer({ min: 1, max: 50 }), (seed, every) => {
          const points = troubled(seed, 600)
          const detector = create()
          let state = detector.start()
          const said = points.map(([timeMs, value], i) => {
            if (i % every === 0) state = restoreState(detector, JSON.parse(JSON.stringify(state)))
            return detector.observe(state, timeMs, value)
          })
          expect(said).toEqual(judge(create(), points))
        }),
        { numRuns: 20 },
      )
    })

    test('a state of another shape is replaced by a fresh one', () => {
      const detector = create()
      for (const foreign of [null, undefined, 7, 'x', [], { other: 1 }, { ...detector.start(), more: 1 }])
        expect(restoreState(detector, foreign)).toEqual(detector.start())
    })

    test(`state stays under ${stateBytesMax} bytes of JSON, without NaN or Infinity`, () => {
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.integer({ min: -1e15, max: 1e15 }), fc.double()), { maxLength: 300 }),
          (points) => {
            const detector = create()
            const state = detector.start()
            for (const [timeMs, value] of points) {
              const verdict = detector.observe(state, timeMs, value)
              for (const number of [verdict?.score, verdict?.expected, verdict?.lower, verdict?.upper])
                if (number !== undefined) expect(Number.isFinite(number)).toBe(true)
            }
            const json = JSON.stringify(state)
            expect(json.length).toBeLessThan(stateBytesMax)
            expect(json).not.toContain('null')
            expect(restoreState(detector, JSON.parse(json))).toEqual(JSON.parse(json))
          },
        ),
        { numRuns: 200 },
      )
    })

    test('verdicts alternate, scores lie between 0 and 1, an anomaly has a sentence and an end has none', () => {
      fc.assert(
        fc.property(fc.integer(), (seed) => {
          let anomalous = false
          let score = 0
          for (const [i, verdict] of judge(create(), troubled(seed, 1_000)).entries()) {
            if (verdict === undefined) {
              expect(i, 'the first reading has a verdict').toBeGreaterThan(0)
              continue
            }
            expect(verdict.score).toBeGreaterThanOrEqual(0)
            expect(verdict.score).toBeLessThanOrEqual(1)
            if (verdict.anomalous) {
              expect(verdict.message).toMatch(/^[A-Z][^:]*: -?\d/)
              if (anomalous) expect(verdict.score).toBeGreaterThan(score)
            } else {
              // The first reading is judged also when it is ordinary.
              expect(anomalous || i === 0).toBe(true)
              expect(verdict.message).toBe('')
            }
            anomalous = verdict.anomalous
            score = verdict.score
          }
        }),
        { numRuns: 100 },
      )
    })

    test('what it holds of the last reading agrees with what it said, and outlives a restart', () => {
      fc.assert(
        fc.property(fc.integer(), (seed) => {
          const detector = create()
          const state = detector.start()
          expect(detector.last(state)).toMatchObject({ anomalous: false, score: 0, message: '' })
          let anomalous = false
          for (const [timeMs, value] of troubled(seed, 600)) {
            const said = detector.observe(state, timeMs, value)
            const held = detector.last(state)
            expect(held.score).toBeGreaterThanOrEqual(0)
            expect(held.score).toBeLessThanOrEqual(1)
            if (said?.anomalous && !anomalous) expect(held).toEqual(said)
            anomalous = said?.anomalous ?? anomalous
            expect(held.anomalous).toBe(anomalous)
            if (held.score >= 0.5) expect(held.message).toMatch(/^[A-Z][^:]*: -?\d/)
            expect(detector.last(restoreState(detector, JSON.parse(JSON.stringify(state))))).toEqual(held)
          }
        }),
        { numRuns: 10 },
      )
    })

    test('a reading that is not newer, or not finite, changes nothing', () => {
      const detector = create()
      const points = troubled(5, 300)
      const state = detector.start()
      for (const [timeMs, value] of points) detector.observe(state, timeMs, value)
      const before = JSON.stringify(state)
      const newest = Math.max(...points.map(([timeMs]) => timeMs))
      for (const timeMs of [newest, newest - 1, newest - 1e9, Number.NaN])
        expect(detector.observe(state, timeMs, 1e6)).toBeUndefined()
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
        expect(detector.observe(state, newest + 1, value)).toBeUndefined()
      expect(JSON.stringify(state)).toBe(before)
    })

    test('irregular sampling within the limits of a healthy sensor says nothing', () => {
      const random = seededRandom(11)
      const value = HEALTHY['ten minutes, little noise']?.(random)
      let timeMs = 0
      const points = Array.from({ length: 5_000 }, (_): Point => {
        timeMs += random() < 0.02 ? 15_000 * random() : 1 + 2_000 * random()
        // Scaled into the middle of every limit.
        return [timeMs, 3.5 + ((value?.(timeMs) ?? 0) - 20) / 25]
      })
      expect(judge(create(), points).filter((v) => v !== undefined)).toEqual([ORDINARY])
    })
  })
}
