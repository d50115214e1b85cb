import type { Batch, DeviceBlock, FieldColumn } from '@tributary/protocol'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import {
  createDownSampler,
  type DownSampling,
  type FlowSample,
  MESSAGES_PER_SECOND_MAX,
  WAITING_MAX,
} from './down-sampler.ts'

const signal = new AbortController().signal

const block = (device: string, timesMs: number[], ...columns: FieldColumn[]): DeviceBlock => ({
  device,
  kind: 'boiler',
  timesMs: Float64Array.from(timesMs),
  columns,
})
const numbers = (values: number[], present: number[] | null = null): FieldColumn => ({
  field: 't',
  type: 'number',
  values: Float64Array.from(values),
  present: present && Uint8Array.from(present),
})
const batch = (...blocks: DeviceBlock[]) => ({ header: { agent: 'agent-1' }, blocks }) as unknown as Batch

async function sampling(change: Partial<DownSampling> = {}) {
  const clock = createSimulatedClock()
  const got: FlowSample[] = []
  const sampler = createDownSampler(
    { kind: '', device: '', everyMs: 1_000, fold: 'last', ...change },
    (s) => got.push(s),
    { clock },
  )
  await sampler.start(signal)
  return { clock, got, sampler }
}

test.each([
  ['last', 3],
  ['mean', 4],
  ['min', 1],
  ['max', 8],
] as const)('in an interval one message a device, the %s of what came', async (fold, expected) => {
  const { clock, got, sampler } = await sampling({ fold })
  sampler.take(batch(block('b', [1], numbers([5]))))
  await clock.advance(100)
  sampler.take(batch(block('b', [2, 3], numbers([8, 1]))))
  sampler.take(batch(block('b', [4, 5], numbers([3, 99], [1, 0]))))
  await clock.advance(800)
  expect(got).toHaveLength(1)
  await clock.advance(200)
  expect(got).toMatchObject([
    { samples: 1, fields: { t: 5 } },
    { device: 'b', kind: 'boiler', agent: 'agent-1', samples: 4, timeMs: 5, fields: { t: expected } },
  ])
  await sampler.stop(signal)
})

test('what comes late does not stand for now', async () => {
  const { clock, got, sampler } = await sampling()
  sampler.take(batch(block('b', [10], numbers([1]))))
  sampler.take(batch(block('b', [5], numbers([2]))))
  await clock.advance(100)
  expect(got).toMatchObject([{ timeMs: 10, fields: { t: 1 } }])
})

test('kind and device narrow it down', async () => {
  const { clock, got, sampler } = await sampling({ kind: 'boiler', device: 'b-2' })
  sampler.take(batch(block('b-1', [1], numbers([1])), block('b-2', [1], numbers([2]))))
  sampler.take(batch({ ...block('b-2', [1], numbers([3])), kind: 'climate' }))
  await clock.advance(200)
  expect(got).toMatchObject([{ device: 'b-2', fields: { t: 2 } }])
})

test('a flood is folded, paced, and beyond so many devices dropped and counted', async () => {
  const { clock, got, sampler } = await sampling({ everyMs: 100 })
  const devices = WAITING_MAX + 40
  for (let i = 0; i < devices; i++) sampler.take(batch(block(`b-${i}`, [1, 2], numbers([1, 2]))))
  expect(sampler.dropped).toBe(40 * 2)
  await clock.advance(999)
  expect(got.length).toBeLessThanOrEqual(MESSAGES_PER_SECOND_MAX)
  expect(got.length).toBeGreaterThan(MESSAGES_PER_SECOND_MAX / 2)
  await clock.advance(30_000)
  expect(got).toHaveLength(WAITING_MAX)
})
