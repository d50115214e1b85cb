import { createLogger } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import type { CheckpointStore } from './checkpoint.ts'
import { createCheckpointWriter } from './checkpoint-writer.ts'
import { createPerseverance } from './persevere.ts'
import { contextOf, stateFor } from './testing.ts'

/** @returns how long after a save the next one may be made, milliseconds, and when people wait for it */
async function pausesAfter(saveMs: number, intervalMs: number): Promise<{ usual: number; hurried: number }> {
  const clock = createSimulatedClock()
  const store = {
    async save(_: Uint8Array, revision: number) {
      await clock.sleep(saveMs)
      return revision + 1
    },
  } as CheckpointStore
  const persevere = createPerseverance({ partition: 0, clock, log: createLogger('test', 'silent') })
  const writer = createCheckpointWriter(intervalMs, { checkpoints: store, persevere, clock })
  writer.begin(0)
  const saved = writer.save(stateFor(contextOf()), new AbortController().signal)
  await clock.advance(saveMs)
  await saved
  return { usual: writer.dueAtMs - clock.monotonicMs(), hurried: writer.hurriedAtMs - clock.monotonicMs() }
}
const pauseAfter = async (saveMs: number, intervalMs: number) => (await pausesAfter(saveMs, intervalMs)).usual

test('saving takes at most a tenth of the time', async () => {
  expect(await pauseAfter(10, 500)).toBe(500)
  expect(await pauseAfter(100, 500)).toBe(900)
  expect(await pauseAfter(400, 500)).toBe(3_600)
})

test('a save during which the process or the disk stood still does not put off the next one for minutes: alerts and acknowledgements wait for it', async () => {
  expect(await pauseAfter(15_000, 500)).toBe(5_000)
  expect(await pauseAfter(15_000, 60_000)).toBe(60_000)
})

test('one that people wait for is saved before the interval is over, and takes no more than a tenth of the time either', async () => {
  expect(await pausesAfter(10, 500)).toEqual({ usual: 500, hurried: 90 })
  expect(await pausesAfter(400, 500)).toEqual({ usual: 3_600, hurried: 3_600 })
  expect(await pausesAfter(15_000, 60_000)).toEqual({ usual: 60_000, hurried: 5_000 })
})
