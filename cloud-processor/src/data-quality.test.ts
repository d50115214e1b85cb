import { contractSchema, type DeviceBlock } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { createEffects } from './effects.ts'
import { EXTRA_FIELDS_MAX } from './shape.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { levels, partition, T } from './step-harness.ts'
import { batchOf, blockOf, contextOf, intakeOf, mixedContract, registryOf, stateFor } from './testing.ts'

const ofQuality = (lines: readonly string[]) => lines.filter((line) => line.startsWith('data_quality,'))
const ruled = (policy: object) =>
  contextOf([
    contractSchema.parse({ ...mixedContract, interval: '1s', policy: { ...mixedContract.policy, ...policy } }),
  ])
const stamped = (block: DeviceBlock): DeviceBlock => ({ ...block, stampedByAgent: true })

test('late samples: one point a batch and device, apart those that are later than memory', () => {
  const p = partition(contextOf([mixedContract], { memoryMs: 60_000, punctualMemoryMs: 60_000 }))
  const first = p.give({
    sequence: 1,
    completeThroughMs: T + 300_000,
    blocks: [levels('pump-1', [0, 1], [300_000, 2])],
  })
  expect(ofQuality(first.lines)).toEqual([])
  const late = [
    levels('pump-1', [1_000, 1], [2_000, 1], [250_000, 3], [265_000, 4], [299_000, 5]),
    levels('pump-2', [285_000, 1], [300_500, 1]),
  ]
  expect(ofQuality(p.give({ sequence: 2, completeThroughMs: T + 301_000, blocks: late }).lines)).toEqual([
    `data_quality,device=pump-1,issue=late_beyond_memory,site=workshop kind="mixed",samples=2i ${T + 1_000}`,
    `data_quality,device=pump-1,issue=late,site=workshop kind="mixed",samples=3i ${T + 250_000}`,
    `data_quality,device=pump-2,issue=late,site=workshop kind="mixed",samples=1i ${T + 285_000}`,
  ])
})

test('what the contract refuses and marks, by field and rule, with what became of it', () => {
  const p = partition(ruled({ range: 'flag' }))
  const block = blockOf('pump-1', 'mixed', [
    { timeMs: T, values: { level: 5, count: 1 } },
    { timeMs: T + 1_000, values: { level: 5_000, count: 1.5 } },
    { timeMs: T + 2_000, values: { level: -5_000, count: 2, colour: 'red' } },
  ])
  expect(ofQuality(p.give({ sequence: 1, blocks: [block] }).lines)).toEqual([
    `data_quality,device=pump-1,field=level,issue=out_of_range,site=workshop kind="mixed",policy="flag",samples=2i ${T + 1_000}`,
    `data_quality,device=pump-1,field=count,issue=wrong_type,site=workshop kind="mixed",policy="reject",samples=1i ${T + 1_000}`,
    `data_quality,device=pump-1,field=colour,issue=unknown_field,site=workshop kind="mixed",policy="reject",samples=1i ${T + 2_000}`,
  ])
})

test('samples too near to each other are one issue of the whole sample, not one of each field', () => {
  const block = () =>
    blockOf(
      'pump-1',
      'mixed',
      [0, 1_000, 1_100, 1_200, 9_000].map((ms) => ({ timeMs: T + ms, values: { level: 1, count: 1 } })),
    )
  const told = (policy: string) => [
    `data_quality,device=pump-1,issue=too_late,site=workshop kind="mixed",policy="flag",samples=1i ${T + 9_000}`,
    `data_quality,device=pump-1,issue=too_soon,site=workshop kind="mixed",policy="${policy}",samples=2i ${T + 1_100}`,
  ]
  for (const policy of ['reject', 'flag'])
    expect(ofQuality(partition(ruled({ interval: policy })).give({ sequence: 1, blocks: [block()] }).lines)).toEqual(
      told(policy),
    )
  expect(ofQuality(partition(ruled({ interval: 'pass' })).give({ sequence: 1, blocks: [block()] }).lines)).toEqual([])
})

test('times: of what the agent stamped, by what became of them', () => {
  for (const clockQuality of ['corrected', 'estimated', 'untrusted'] as const) {
    const p = partition()
    const blocks = [stamped(levels('pump-1', [0, 1], [1_000, 2])), levels('clever-1', [0, 1])]
    expect(ofQuality(p.give({ sequence: 1, clockQuality, blocks }).lines)).toEqual([
      `data_quality,device=pump-1,issue=time_${clockQuality},site=workshop kind="mixed",samples=2i ${T}`,
    ])
  }
  expect(ofQuality(partition().give({ sequence: 1, blocks: [stamped(levels('pump-1', [0, 1]))] }).lines)).toEqual([])
})

test('a kind without a contract; a time in the future, which stands where and when it came', () => {
  const p = partition(contextOf([mixedContract], { registry: registryOf({ 'pump-1': { site: 'annex' } }) }))
  const blocks = [
    blockOf('pump-2', 'unheard_of', [
      { timeMs: T, values: { a: 1 } },
      { timeMs: T + 1, values: { b: 1 } },
    ]),
    levels('pump-1', [0, 1], [200_000_000, 2]),
  ]
  expect(ofQuality(p.give({ sequence: 1, blocks }, T + 5_000).lines)).toEqual([
    `data_quality,device=pump-2,issue=unknown_kind,site=workshop kind="unheard_of",policy="reject",samples=2i ${T}`,
    `data_quality,device=pump-1,issue=time_in_future,site=annex kind="mixed",policy="reject",samples=1i ${T + 5_000}`,
  ])
})

test('a device that invents field names makes no tags without end', () => {
  const p = partition()
  const names = (batch: number) =>
    Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`made_up_${batch}_${i}`, 1]))
  const fields = new Set<string>()
  for (let sequence = 1; sequence <= 5; sequence++) {
    const blocks = [blockOf('pump-1', 'mixed', [{ timeMs: T + sequence, values: names(sequence) }])]
    for (const line of ofQuality(p.give({ sequence, blocks }).lines)) fields.add(/field=(\w+)/.exec(line)?.[1] ?? '')
  }
  expect(fields.size).toBe(EXTRA_FIELDS_MAX + 1)
  expect(fields).toContain('')
})

test('several blocks of a device are one point, at the time of the first sample', () => {
  const p = partition()
  const blocks = [stamped(levels('pump-1', [5_000, 1])), stamped(levels('pump-1', [2_000, 1], [3_000, 1]))]
  expect(ofQuality(p.give({ sequence: 1, clockQuality: 'untrusted', blocks }).lines)).toEqual([
    `data_quality,device=pump-1,issue=time_untrusted,site=workshop kind="mixed",samples=3i ${T + 2_000}`,
  ])
})

test('processed again from a checkpoint a batch makes the same points; one that comes again makes none', () => {
  const context = ruled({ range: 'flag' })
  const state = stateFor(context)
  const before = batchOf({
    sequence: 1,
    completeThroughMs: T + 60_000,
    blocks: [levels('pump-1', [0, 1], [60_000, 2])],
  })
  const wild = blockOf('pump-1', 'mixed', [{ timeMs: T + 3_000, values: { level: 9_999, odd: 1 } }])
  const plan = { sequence: 2, readingsBefore: 2, completeThroughMs: T + 61_000, clockQuality: 'estimated' as const }
  const batch = batchOf({ ...plan, blocks: [stamped(wild)] })
  step(state, intakeOf(before), context, createEffects())
  const checkpoint = encodeState(state)
  const once = () => {
    const restored = decodeState(checkpoint, context.contracts)
    const effects = createEffects()
    step(restored, intakeOf(batch), context, effects)
    const again = createEffects()
    step(restored, intakeOf(batch), context, again)
    expect(again.lines.count).toBe(0)
    return effects.lines.bytes.toString('utf8', 0, effects.lines.length).split('\n')
  }
  const issues = ofQuality(once()).map((line) => /issue=(\w+)/.exec(line)?.[1])
  expect(issues).toEqual(['time_estimated', 'out_of_range', 'unknown_field', 'late'])
  expect(once()).toEqual(once())
})
