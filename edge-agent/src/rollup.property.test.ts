/** Windows against the readings that they stand for, however they were cut and coarsened on the way. */
import { type DeviceBlock, decodeBatch, encodeBatch, type FieldColumn, type RollupBlock } from '@tributary/protocol'
import { goldenBatches } from '@tributary/protocol/testing'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRollups } from './rollup.ts'

interface Reading {
  readonly timeMs: number
  readonly value: number | boolean | string
}
const NOON_MS = Date.UTC(2026, 5, 1, 12)
const RANGE = { fromSequence: 1, toSequence: 41 }

const timeMs = fc.oneof(
  fc.integer({ min: NOON_MS, max: NOON_MS + 300_000 }),
  fc.integer({ min: -20_000, max: 20_000 }),
  fc.double({ min: NOON_MS, max: NOON_MS + 100_000, noNaN: true }),
)
const readings = fc.oneof(
  ...[
    fc.integer({ min: -5_000, max: 99_999 }).map((n) => n / 100),
    fc.integer({ min: 4_000_000_000, max: 4_000_000_900 }),
    // Below, squares underflow.
    fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((n) => (Math.abs(n) < 1e-100 ? 0 : n)),
    fc.constant(21.3),
    fc.boolean(),
    fc.constantFrom('idle', 'filling', 'Überlauf'),
  ].map((value) => fc.array(fc.record<Reading>({ timeMs, value }), { minLength: 1, maxLength: 120 })),
)

function blockOf(some: readonly Reading[]): DeviceBlock {
  const values = some.map(({ value }) => value)
  const first = values[0]
  const common = { field: 'f', present: null }
  const column: FieldColumn =
    typeof first === 'string'
      ? { ...common, type: 'string', values: values as string[] }
      : typeof first === 'boolean'
        ? { ...common, type: 'boolean', values: Uint8Array.from(values, Number) }
        : { ...common, type: 'number', values: Float64Array.from(values as number[]) }
  return { device: 'd', kind: 'k', timesMs: Float64Array.from(some, (one) => one.timeMs), columns: [column] }
}

/** What the wire does to them. */
function sent(rollups: RollupBlock[]): RollupBlock[] {
  const { header } = goldenBatches['empty'] as ReturnType<typeof decodeBatch>
  const batch = { header: { ...header, sequence: 42 }, blocks: [], deadLetters: [], tombstones: [], rollups }
  return [...decodeBatch(encodeBatch(batch)).rollups]
}

function expectWindows(blocks: readonly RollupBlock[], widthMs: number, of: readonly Reading[]) {
  const found = new Map<number, Record<string, unknown>>()
  for (const { timesMs, columns } of blocks) {
    expect(columns).toHaveLength(1)
    for (let i = 0; i < timesMs.length; i++) {
      expect(found.has(timesMs[i] as number)).toBe(false)
      found.set(
        timesMs[i] as number,
        Object.fromEntries(
          Object.entries(columns[0] as object).map(([key, slots]) => [
            key,
            typeof slots === 'string' ? slots : slots[i],
          ]),
        ),
      )
    }
  }
  const starts = new Set(of.map((one) => Math.floor(one.timeMs / widthMs) * widthMs + 0))
  expect([...found.keys()].map((startMs) => startMs + 0).sort()).toEqual([...starts].sort())
  for (const startMs of starts) {
    const inside = of.filter((one) => Math.floor(one.timeMs / widthMs) * widthMs + 0 === startMs)
    const window = found.get(startMs) as Record<string, number>
    expect(window['counts']).toBe(inside.length)
    const lastMs = Math.max(...inside.map((one) => one.timeMs))
    const lasts = inside.filter((one) => one.timeMs === lastMs).map(({ value }) => value)
    const last = lasts.reduce((a, b) => (b > a ? b : a))
    expect(window['lasts']).toBe(typeof last === 'boolean' ? Number(last) : last)
    expect(startMs + (window['lastOffsetsMs'] as number)).toBeCloseTo(lastMs, 6)
    if (typeof last === 'boolean')
      expect(window['trueCounts']).toBe(inside.filter(({ value }) => value === true).length)
    if (typeof last !== 'number') continue
    const values = inside.map(({ value }) => value as number)
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    const m2 = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
    const largest = Math.max(...values.map(Math.abs))
    expect(window['minimums']).toBe(Math.min(...values))
    expect(window['maximums']).toBe(Math.max(...values))
    expect(Math.abs((window['sums'] as number) / values.length - mean)).toBeLessThanOrEqual(1e-12 * (1 + largest))
    const deviation = Math.sqrt(m2 / values.length)
    const theirs = Math.sqrt(Math.max(0, window['spreads'] as number)) / values.length
    expect(Math.abs(theirs - deviation)).toBeLessThanOrEqual(1e-9 * deviation + 1e-11 * largest)
  }
}

test('samples in any cut, by windows of 10 s to windows of a minute, are what the readings alone would give', () => {
  fc.assert(
    fc.property(readings, fc.array(fc.nat(), { minLength: 1, maxLength: 8 }), (some, cuts) => {
      const parts = cuts.map((_, k) => some.filter((__, i) => (cuts[i % cuts.length] as number) % cuts.length === k))
      const seconds = createRollups(10_000)
      const direct = createRollups(60_000)
      const bySeconds = createRollups(60_000)
      for (const part of parts.filter(({ length }) => length > 0)) {
        seconds.addSamples(blockOf(part))
        direct.addSamples(blockOf(part))
        // Each part goes its own way by the wire.
        const own = createRollups(10_000)
        own.addSamples(blockOf(part))
        for (const block of sent(own.finish(RANGE))) bySeconds.addWindows(block)
      }
      expectWindows(sent(seconds.finish(RANGE)), 10_000, some)
      expectWindows(sent(direct.finish(RANGE)), 60_000, some)
      expectWindows(sent(bySeconds.finish(RANGE)), 60_000, some)
    }),
    { numRuns: 300 },
  )
})

test('windows of decimals are short', () => {
  const perSecond = Array.from({ length: 36_000 }, (_, i) => ({
    timeMs: NOON_MS + i * 1_000,
    value: Math.round(2_100 + 300 * Math.sin(i / 500) + 20 * Math.sin(i * i)) / 100,
  }))
  const bytes = (widthMs: number) => {
    const rollups = createRollups(widthMs)
    rollups.addSamples(blockOf(perSecond))
    const { header } = goldenBatches['empty'] as ReturnType<typeof decodeBatch>
    const content = { blocks: [], deadLetters: [], tombstones: [], rollups: rollups.finish(RANGE) }
    return encodeBatch({ header: { ...header, sequence: 42 }, ...content }).length
  }
  expect(bytes(10_000) / 3_600).toBeLessThan(13)
  expect(bytes(60_000) / 600).toBeLessThan(16)
})

test('a device with its own clock and one that is stamped stay apart, fields that change type too', () => {
  const rollups = createRollups(10_000)
  const block = blockOf([{ timeMs: NOON_MS, value: 1 }])
  rollups.addSamples(block)
  rollups.addSamples({ ...block, stampedByAgent: true })
  rollups.addSamples(blockOf([{ timeMs: NOON_MS + 10_000, value: 'n/a' }]))
  const blocks = sent(rollups.finish(RANGE))
  expect(blocks.map(({ stampedByAgent, columns }) => [stampedByAgent, columns.map(({ type }) => type)])).toEqual([
    [undefined, ['number', 'string']],
    [true, ['number']],
  ])
  expect(blocks[0]?.columns.map(({ counts }) => [...counts])).toEqual([
    [1, 0],
    [0, 1],
  ])
})

test('what is no number is left out, and the rest of its window is right', () => {
  const rollups = createRollups(10_000)
  rollups.addSamples(blockOf([1, Number.NaN, 3, Infinity].map((value, i) => ({ timeMs: NOON_MS + i, value }))))
  expect(sent(rollups.finish(RANGE))[0]?.columns[0]).toMatchObject({
    counts: Float64Array.of(2),
    sums: Float64Array.of(4),
    maximums: Float64Array.of(3),
  })
})
