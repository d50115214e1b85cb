/** An energy meter's windows add up to what it counted, whatever order its readings come in; or they are dirty. */
import { type Contract, contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clearEffects, createEffects } from './effects.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { batchOf, blockOf, contextOf, intakeOf, rollupOf, type SampleValues, stateFor } from './testing.ts'

const START_MS = 1_767_225_600_000
const WRAPS_AT = 10_000

const meterContract = (wrapsAt: number): Contract =>
  contractSchema.parse({
    kind: 'meter',
    version: 1,
    description: 'An energy meter.',
    interval: '1s',
    fields: { energy: { type: 'integer', label: 'Energy', role: 'counter', wraps_at: wrapsAt || undefined } },
  })

interface Line {
  readonly increase: number
  readonly rate: number | undefined
  readonly resets: number
}

/** Each group is a batch; they come in `order`. @returns width and start → the last that was written of it */
function windowsOf(
  groups: readonly (readonly SampleValues[])[],
  order: readonly number[],
  { wrapsAt = WRAPS_AT, restartAfter = -1, promises = false, memoryMs = 1e9 } = {},
) {
  const context = contextOf([meterContract(wrapsAt)], { memoryMs, punctualMemoryMs: memoryMs })
  let state = stateFor(context)
  const effects = createEffects()
  const lines = new Map<string, Line>()
  const give = (plan: Parameters<typeof batchOf>[0]) => {
    clearEffects(effects)
    step(state, intakeOf(batchOf(plan)), context, effects)
    for (let i = 0; i < effects.rollups.count; i++) {
      const line = effects.rollups.line(i).toString()
      const said = (what: string) => new RegExp(`energy_${what}=([^,i ]*)`).exec(line)?.[1]
      const rate = said('rate')
      lines.set(`${/_([^_,]*),/.exec(line)?.[1]} ${line.trim().split(' ').at(-1)}`, {
        increase: Number(said('increase')),
        rate: rate === undefined ? undefined : Number(rate),
        resets: Number(said('resets')),
      })
    }
  }
  const before = groups.map((_, i) => groups.slice(0, i).reduce((sum, group) => sum + group.length, 0))
  for (const [n, i] of order.entries()) {
    const group = groups[i] as readonly SampleValues[]
    const completeThroughMs = promises ? (group.at(-1)?.timeMs ?? 0) : 0
    give({ sequence: i + 1, readingsBefore: before[i] ?? 0, completeThroughMs, blocks: [blockOf('m', 'meter', group)] })
    if (n === restartAfter) state = decodeState(encodeState(state), context.contracts)
  }
  const readingsBefore = groups.reduce((sum, group) => sum + group.length, 0)
  give({ sequence: groups.length + 1, readingsBefore, completeThroughMs: START_MS + 86_400_000 })
  return { lines, dirty: state.dirty, give }
}
const sumOf = (lines: ReadonlyMap<string, Line>, width: string) =>
  [...lines].reduce((sum, [key, { increase }]) => sum + (key.startsWith(`${width} `) ? increase : 0), 0)

const samplesOf = (...readings: [seconds: number, energy: number][]): SampleValues[] =>
  readings.map(([seconds, energy]) => ({ timeMs: START_MS + seconds * 1_000, values: { energy } }))
const window = (width: string, seconds: number) => `${width} ${START_MS + seconds * 1_000}`

const steps = fc.array(
  fc.record({ after: fc.integer({ min: 1, max: 40_000 }), by: fc.integer({ min: 0, max: 400 }) }),
  { minLength: 1, maxLength: 60 },
)

/** A meter that wraps several times; its readings in batches, these in any order and twice. */
const story = fc
  .record({ steps, first: fc.nat({ max: WRAPS_AT - 1 }), cut: fc.integer({ min: 1, max: 7 }) })
  .chain((one) => {
    let total = one.first
    let timeMs = START_MS
    const samples = one.steps.map(({ after, by }): SampleValues => {
      timeMs += after
      total += by
      return { timeMs, values: { energy: total % WRAPS_AT } }
    })
    const groups: SampleValues[][] = []
    for (let from = 0; from < samples.length; from += one.cut) groups.push(samples.slice(from, from + one.cut))
    const all = [...groups.keys(), ...groups.keys()]
    return fc.record({
      groups: fc.constant(groups),
      counted: fc.constant(total - one.first - (one.steps[0]?.by ?? 0)),
      order: fc.shuffledSubarray([...all.keys()], { minLength: all.length }).map((o) => o.map((i) => all[i] as number)),
      restartAfter: fc.nat({ max: all.length }),
    })
  })

test('any order, any repetition, a restart: each width adds up to what was counted, window by window as in order', () => {
  fc.assert(
    fc.property(story, ({ groups, counted, order, restartAfter }) => {
      const inOrder = windowsOf(groups, [...groups.keys()])
      for (const width of ['10s', '1m', '15m', '1h']) expect(sumOf(inOrder.lines, width)).toBe(counted)
      const mixed = windowsOf(groups, order, { restartAfter, promises: true })
      for (const [key, line] of inOrder.lines) {
        const [width, startMs] = key.split(' ')
        const isDirty = [...mixed.dirty.keys()].some(
          (one) =>
            one.endsWith(`/${startMs}`) &&
            one.includes(`/${{ '10s': 10_000, '1m': 60_000, '15m': 900_000, '1h': 3_600_000 }[width as '1m']}/`),
        )
        if (!isDirty) expect([key, mixed.lines.get(key)]).toEqual([key, line])
      }
    }),
    {
      numRuns: 300,
      examples: [
        [
          {
            groups: [samplesOf([0.001, 0]), samplesOf([0.003, 0]), samplesOf([10, 1]), samplesOf([30, 1])],
            counted: 1,
            order: [0, 3, 2, 1],
            restartAfter: 0,
          },
        ],
      ],
    },
  )
})

test('an increase belongs to the window of its later reading; the rate is that since the reading before', () => {
  const { lines } = windowsOf([samplesOf([1, 100], [9, 180], [11, 200], [19, 260], [45, 290])], [0])
  expect(lines.get(window('10s', 0))).toEqual({ increase: 80, rate: 10, resets: 0 })
  expect(lines.get(window('10s', 10))).toEqual({ increase: 80, rate: 8, resets: 0 })
  expect(lines.get(window('10s', 40))).toMatchObject({ increase: 30, rate: expect.closeTo(30 / 26) })
  expect(lines.get(window('1m', 0))).toMatchObject({ increase: 190, rate: expect.closeTo(190 / 44) })
})

test('a fall is a wrap when little is counted over it, else a reset; a step back counts nothing', () => {
  const of = (wrapsAt: number, from: number, to: number) => {
    const { lines } = windowsOf([samplesOf([1, from], [2, to])], [0], { wrapsAt })
    const { increase, resets } = lines.get(window('10s', 0)) as Line
    return [increase, resets]
  }
  expect(of(WRAPS_AT, 9_990, 5)).toEqual([15, 0])
  expect(of(WRAPS_AT, 5_000, 20)).toEqual([20, 1])
  expect(of(WRAPS_AT, 5_000, 4_990)).toEqual([0, 1])
  expect(of(0, 9_990, 5)).toEqual([5, 1])
})

test('a late reading at the end of a window moves what was counted from the next one to its own', () => {
  const groups = [samplesOf([1, 100]), samplesOf([8, 170]), samplesOf([12, 200], [25, 210])]
  const { lines, give } = windowsOf(groups.slice(0, 1).concat([groups[2] as SampleValues[]]), [0, 1])
  expect(lines.get(window('10s', 0))?.increase).toBe(0)
  expect(lines.get(window('10s', 10))?.increase).toBe(100)
  give({ sequence: 4, readingsBefore: 3, blocks: [blockOf('m', 'meter', groups[1] as SampleValues[])] })
  expect(lines.get(window('10s', 0))?.increase).toBe(70)
  expect(lines.get(window('10s', 10))?.increase).toBe(30)
  expect(lines.get(window('1m', 0))?.increase).toBe(110)
})

test('a reset among what a gap held back: counted as in order, in every width', () => {
  const groups = [samplesOf([1, 10], [2, 150]), samplesOf([3, 20], [4, 50]), samplesOf([5, 160])]
  const { lines, dirty } = windowsOf(groups, [0, 2, 1])
  for (const width of ['10s', '1m', '15m', '1h'])
    expect(lines.get(window(width, 0))).toMatchObject({ increase: 140 + 20 + 30 + 110, resets: 1 })
  expect(dirty.size).toBe(0)
})

test('a reading in between of what was counted through already cannot be told: its windows are left to the store', () => {
  const { lines, dirty } = windowsOf([samplesOf([1, 10], [2, 150], [5, 160]), samplesOf([3, 20])], [0, 1])
  expect([...dirty.values()].map(({ widthMs }) => widthMs).sort((a, b) => a - b)).toEqual([
    10_000, 60_000, 900_000, 3_600_000,
  ])
  expect(lines.get(window('10s', 0))).toMatchObject({ increase: 150 })
})

test('a counter that stood still: a late reading changes the rate of the next window alone', () => {
  const { lines, give } = windowsOf([samplesOf([1, 100], [31, 130])], [0])
  expect(lines.get(window('10s', 30))).toEqual({ increase: 30, rate: 1, resets: 0 })
  give({ sequence: 3, readingsBefore: 2, blocks: [blockOf('m', 'meter', samplesOf([16, 100]))] })
  expect(lines.get(window('10s', 30))).toEqual({ increase: 30, rate: 2, resets: 0 })
})

test('what an agent rolled up counts with its last value', () => {
  const { lines, give } = windowsOf([samplesOf([1, 100])], [0])
  const rollups = [rollupOf('m', samplesOf([21, 130], [25, 170]), { kind: 'meter', fromSequence: 3 })]
  const stone = { epoch: '0123456789abcdef', fromSequence: 3, toSequence: 3, readingCount: 2, reason: 'rolled_up_10s' }
  give({ sequence: 4, readingsBefore: 3, rollups, tombstones: [stone], completeThroughMs: START_MS + 90_000_000 })
  give({ sequence: 5, readingsBefore: 3, completeThroughMs: START_MS + 90_000_000 })
  expect(lines.get(window('10s', 20))).toMatchObject({ increase: 70, resets: 0 })
})

test('what was rolled up to a minute lies in between of nobody knows what: that minute and the wider windows are left to the store', () => {
  const { dirty, give } = windowsOf([samplesOf([1, 100], [50, 180])], [0])
  const rollups = [rollupOf('m', samplesOf([21, 130], [25, 170]), { kind: 'meter', fromSequence: 3, widthMs: 60_000 })]
  const stone = { epoch: '0123456789abcdef', fromSequence: 3, toSequence: 3, readingCount: 2, reason: 'rolled_up_1m' }
  give({ sequence: 4, readingsBefore: 4, rollups, tombstones: [stone], completeThroughMs: START_MS + 90_000_000 })
  expect([...dirty.values()].map(({ widthMs }) => widthMs)).toEqual([60_000, 900_000, 3_600_000])
})

test.each([
  ['before', [1, 2]],
  ['after', [2, 1]],
])('what comes later than memory %s the first window in memory is where that counts from', (_, order) => {
  const { lines, give } = windowsOf([samplesOf([1, 100])], [0], { memoryMs: 60_000 })
  const late = [samplesOf([1, 100]), samplesOf([3_000, 150]), samplesOf([86_370, 160], [86_375, 170])]
  for (const [n, i] of order.entries())
    give({ sequence: 3 + n, readingsBefore: 1 + n, blocks: [blockOf('m', 'meter', late[i] as SampleValues[])] })
  give({ sequence: 5, readingsBefore: 4, completeThroughMs: START_MS + 90_000_000 })
  expect(lines.get(window('10s', 86_370))?.increase).toBe(20)
  // The windows of it that are in memory.
  expect(lines.get(window('1h', 82_800))?.increase).toBe(20)
})
