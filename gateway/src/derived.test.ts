import { type Batch, type DerivedSample, decodeBatch } from '@tributary/protocol'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createDerived, DERIVED_READINGS_BURST, DERIVED_READINGS_PER_SECOND } from './derived.ts'
import { Refusal } from './refusals.ts'

const clock = createSimulatedClock()
const sample = (timeMs: number, fields: DerivedSample['fields'], device = 'hall', kind = 'climate'): DerivedSample => ({
  device,
  kind,
  timeMs,
  fields,
})

/** What admission got, and how it answers. */
function derivedOver(answer: (batch: Batch) => Promise<unknown> = async () => undefined) {
  const batches: Batch[] = []
  const admit = async (agent: string, bytes: Uint8Array) => {
    const batch = decodeBatch(bytes)
    expect(batch.header.agent).toBe(agent)
    batches.push(batch)
    await answer(batch)
    return 'stored' as const
  }
  return { batches, derived: createDerived('gw-1-site', { admit }, () => true, { clock }) }
}
const many = (count: number) => Array.from({ length: count }, (_, i) => sample(i, { temperature_c: i }))

test('samples become blocks by device and kind, in order of time, with what each sample has', async () => {
  const { batches, derived } = derivedOver()
  await derived.admit([
    sample(20, { temperature_c: 2 }),
    sample(10, { temperature_c: 1, wet: true }),
    sample(15, { state: 'on' }, 'hall', 'boiler'),
    sample(12, { temperature_c: 'warm' }),
  ])
  const [{ header, blocks } = expect.unreachable()] = batches
  expect(header).toMatchObject({ sampleCount: 4, readingCount: 5, readingsTotal: 5, sequence: 1, lane: 'live' })
  expect(blocks.map(({ device, kind, timesMs }) => [device, kind, [...timesMs]])).toEqual([
    ['hall', 'climate', [10, 12, 20]],
    ['hall', 'boiler', [15]],
  ])
  const [columns] = blocks.map((block) => block.columns)
  expect(
    columns?.map(({ field, type, present, values }) => [field, type, present && [...present], [...values]]),
  ).toEqual([
    ['temperature_c', 'number', [1, 0, 1], [1, 0, 2]],
    ['wet', 'boolean', [1, 0, 0], [1, 0, 0]],
    ['temperature_c', 'string', [0, 1, 0], ['', 'warm', '']],
  ])
})

test('sequences have no holes; after a failure of which nobody knows a new epoch begins', async () => {
  let failing = false
  const { batches, derived } = derivedOver(async () => {
    if (failing) throw new Refusal('spool_failed', 'not on disk after 8000 ms')
  })
  await derived.admit([sample(1, { a: 1 })])
  await derived.admit([sample(2, { a: 1 })])
  failing = true
  await expect(derived.admit([sample(3, { a: 1 })])).rejects.toThrow('not on disk')
  failing = false
  await derived.admit([sample(3, { a: 1 })])
  const said = batches.map(({ header }) => [header.sequence, header.readingsTotal])
  expect(said).toEqual([
    [1, 1],
    [2, 2],
    [3, 3],
    [1, 1],
  ])
  const epochs = batches.map(({ header }) => header.epoch)
  expect(new Set(epochs.slice(0, 3)).size).toBe(1)
  expect(epochs[3]).not.toBe(epochs[0])
})

test('a flood is refused before anything is taken, and comes in again at the rate', async () => {
  const { batches, derived } = derivedOver()
  for (let taken = 0; taken < DERIVED_READINGS_BURST; taken += 500) await derived.admit(many(500))
  await expect(derived.admit(many(500))).rejects.toMatchObject({ reason: 'too_fast' })
  expect(() => derived.checkPace(), 'and not even read').toThrow('a second')
  await clock.advance((500 / DERIVED_READINGS_PER_SECOND) * 1_000)
  derived.checkPace()
  await derived.admit(many(500))
  expect(batches.at(-1)?.header.readingsTotal).toBe(DERIVED_READINGS_BURST + 500)
})

test('few may wait for a slow disk', async () => {
  let free: () => void = () => undefined
  const disk = new Promise<void>((resolve) => {
    free = resolve
  })
  const { batches, derived } = derivedOver(() => disk)
  const asked = Array.from({ length: 12 }, () => derived.admit(many(1)))
  const results = Promise.allSettled(asked)
  free()
  const refused = (await results).filter(({ status }) => status === 'rejected')
  expect(refused).toHaveLength(4)
  expect(batches.map(({ header }) => header.sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
})

test('what no batch can hold is unfit, and leaves no hole', async () => {
  const { batches, derived } = derivedOver()
  await expect(derived.admit([sample(1, { a: 'x'.repeat(5_000) })])).rejects.toMatchObject({ reason: 'unfit' })
  await derived.admit(many(1))
  expect(batches.map(({ header }) => header.sequence)).toEqual([1])
})
