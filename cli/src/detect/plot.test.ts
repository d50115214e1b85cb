import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { elapsedMarks, numberMarks, timeMarks } from './plot-axis.ts'
import { BUCKETS_MAX, createPlotBuckets, type PlotRow } from './plot-buckets.ts'
import { plotSvg } from './plot-svg.ts'
import { timeZone, UTC } from './time-zone.ts'

const row = (timeMs: number, value: number, more: Partial<PlotRow> = {}): PlotRow => ({
  timeMs,
  value,
  score: 0,
  lower: value - 1,
  upper: value + 1,
  alarm: false,
  message: '',
  ...more,
})
const labels = { title: 'a < b', subtitle: '"x" & y', value: 'v', threshold: 0.5, zone: UTC }

describe('slices of time', () => {
  test('keep every extreme, alarm and highest score of any series, in bounded number', () => {
    const step = fc.double({ min: 0.001, max: 1e9, noNaN: true })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(step, fc.double({ min: -1e300, max: 1e300, noNaN: true })), { minLength: 1 }),
        (steps) => {
          const buckets = createPlotBuckets()
          let timeMs = 1.7e12
          for (const [i, [elapsedMs, value]] of steps.entries()) {
            timeMs += elapsedMs
            buckets.add(row(timeMs, value, { score: (i % 10) / 10, alarm: i % 10 === 7, message: 'm' }))
          }
          const filled = buckets.filled()
          const values = steps.map(([, value]) => value)
          expect(filled.length).toBeLessThanOrEqual(BUCKETS_MAX)
          expect(Math.min(...filled.map(({ min }) => min))).toBe(Math.min(...values))
          expect(Math.max(...filled.map(({ max }) => max))).toBe(Math.max(...values))
          expect(Math.max(...filled.map(({ score }) => score))).toBe(Math.min(9, steps.length - 1) / 10)
          expect(filled.reduce((sum, { banded }) => sum + banded, 0)).toBe(steps.length)
          expect(filled.some(({ alarm }) => alarm !== undefined)).toBe(steps.length > 7)
          expect(filled.every(({ fromMs }, i) => i === 0 || fromMs > (filled[i - 1]?.toMs ?? 0))).toBe(true)
          const svg = plotSvg(filled, labels)
          expect(svg).not.toMatch(/NaN|Infinity|undefined/)
        },
      ),
      { examples: [[[[0.001, 5e-324]]], [[[0.001, 1e300]]]] },
    )
  })
  test('a million rows take as much room as a thousand, at least one slice a pixel', () => {
    const buckets = createPlotBuckets()
    for (let i = 0; i < 1_000_000; i++) buckets.add(row(i * 1_000, Math.sin(i), i === 654_321 ? { value: 99 } : {}))
    const filled = buckets.filled()
    expect(filled.length).toBeGreaterThanOrEqual(BUCKETS_MAX / 2 - 1)
    expect(filled.length).toBeLessThanOrEqual(BUCKETS_MAX)
    expect(filled.filter(({ max }) => max === 99).length).toBe(1)
  })
  test('a gap is not drawn over', () => {
    const buckets = createPlotBuckets()
    for (let i = 0; i < 50; i++) buckets.add(row(i * 1_000 + (i < 25 ? 0 : 3_600_000), 1))
    expect(buckets.filled().filter(({ afterGap }) => afterGap).length).toBe(1)
    expect(plotSvg(buckets.filled(), labels).match(/class="series" points/g)?.length).toBe(2)
  })
})

describe('axes', () => {
  test('marks are even, within the axis, few, and each says something else', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -1e12, max: 1e12, noNaN: true }),
        fc.double({ min: 1e-6, max: 1e12, noNaN: true }),
        (low, size) => {
          fc.pre(low + size > low && size > Math.abs(low) * 1e-4)
          const marks = numberMarks(low, low + size, 6)
          expect(marks.length).toBeGreaterThan(0)
          expect(marks.length).toBeLessThanOrEqual(8)
          for (const { at } of marks) {
            expect(at).toBeGreaterThanOrEqual(low - size * 0.01)
            expect(at).toBeLessThanOrEqual(low + size * 1.01)
          }
        },
      ),
    )
    expect(numberMarks(-1, 1, 5).map(({ text }) => text)).toEqual(['−1.0', '−0.5', '0.0', '0.5', '1.0'])
    expect(numberMarks(0, 4000, 4).map(({ text }) => text)).toEqual(['0', '1,000', '2,000', '3,000', '4,000'])
  })
  test('times are full hours, days, months of the zone', () => {
    const from = Date.UTC(2026, 2, 28, 22, 10)
    const hours = timeMarks(from, from + 6 * 3_600_000, 9, UTC)
    expect(hours.map(({ text }) => text)).toEqual(['23:00', '00:00', '01:00', '02:00', '03:00', '04:00'])
    expect(hours.map(({ below }) => below).filter(Boolean)).toEqual(['28 Mar 2026', '29 Mar 2026'])
    const berlin = timeMarks(from, from + 9 * 86_400_000, 9, timeZone('Europe/Berlin'))
    expect(berlin.map(({ text }) => text).slice(0, 3)).toEqual(['29 Mar', '30 Mar', '31 Mar'])
    expect(berlin[1]?.at).toBe(Date.UTC(2026, 2, 29, 22))
    const years = timeMarks(Date.UTC(2019, 4), Date.UTC(2026, 4), 9, UTC)
    expect(years.map(({ text }) => text)).toEqual(['2020', '2021', '2022', '2023', '2024', '2025', '2026'])
    expect(elapsedMarks(150_000, 5).map(({ text }) => text)).toEqual([
      '0.0 min',
      '0.5 min',
      '1.0 min',
      '1.5 min',
      '2.0 min',
      '2.5 min',
    ])
  })
  test('spans of any length have a few marks within them', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1e12, max: 3e12 }),
        fc.double({ min: 0, max: 13, noNaN: true }),
        (fromMs, power) => {
          const toMs = fromMs + 10 ** power
          const marks = timeMarks(fromMs, toMs, 9, UTC)
          expect(marks.length).toBeLessThanOrEqual(18)
          for (const { at } of marks) expect(at >= fromMs && at <= toMs).toBe(true)
        },
      ),
    )
  })
})

test('what files are called cannot break the picture', () => {
  const svg = plotSvg([], { ...labels, title: '<script>alert("1")</script>\u0000]]>' })
  expect(svg).not.toContain('<script')
  expect(svg).not.toContain('\u0000')
})
