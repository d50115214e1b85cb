import { createLogger } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import type { CheckpointStore } from './checkpoint.ts'
import { createCheckpointWriter } from './checkpoint-writer.ts'
import { createPerseverance } from './persevere.ts'
import { contextOf, stateFor } from './testing.ts'

/**
 * @param restMs between a save and the next
 * @returns how long after the last save the next one may be made, milliseconds, and when people wait for it
 */
async function pausesAfter(
  saves: readonly number[],
  intervalMs: number,
  restMs = 0,
): Promise<{ usual: number; hurried: number }> {
  const clock = createSimulatedClock()
  let saveMs = 0
  const store = {
    async save(_: Uint8Array, revision: number) {
      await clock.sleep(saveMs)
      return revision + 1
    },
  } as CheckpointStore
  const persevere = createPerseverance({ partition: 0, clock, log: createLogger('test', 'silent') })
  const writer = createCheckpointWriter(intervalMs, { checkpoints: store, persevere, clock })
  writer.begin(0)
  for (saveMs of saves) {
    await clock.advance(restMs)
    const saved = writer.save(stateFor(contextOf()), new AbortController().signal)
    await clock.advance(saveMs)
    await saved
  }
  return { usual: writer.dueAtMs - clock.monotonicMs(), hurried: writer.hurriedAtMs - clock.monotonicMs() }
}
const pauseAfter = async (saveMs: number, intervalMs: number) => (await pausesAfter([saveMs], intervalMs)).usual

test('saving takes at most a tenth of the time', async () => {
  expect(await pauseAfter(10, 500)).toBe(500)
  expect(await pauseAfter(100, 500)).toBe(900)
  expect(await pauseAfter(400, 500)).toBe(3_600)
})

test('a save during which the process or the disk stood still does not put off the next one for minutes: alerts and acknowledgements wait for it', async () => {
  expect(await pauseAfter(15_000, 500)).toBe(5_000)
  expect(await pauseAfter(15_000, 60_000)).toBe(60_000)
})

test('one that people wait for is saved before the interval is over, and takes no more than a quarter of the time', async () => {
  expect(await pausesAfter([10], 500)).toEqual({ usual: 500, hurried: 30 })
  expect(await pausesAfter([400], 500)).toEqual({ usual: 3_600, hurried: 1_200 })
  expect(await pausesAfter([15_000], 60_000)).toEqual({ usual: 60_000, hurried: 5_000 })
})

test('one save during which the disk stood still does not put off what people wait for; two in a row do', async () => {
  expect(await pausesAfter([10, 400], 500)).toEqual({ usual: 3_600, hurried: 30 })
  expect(await pausesAfter([10, 400, 300], 500)).toEqual({ usual: 2_700, hurried: 900 })
})

test('what people wait for waits for the last one that was early, not for one that came at its usual time', async () => {
  expect((await pausesAfter([40, 40], 500, 600)).hurried).toBeLessThan(0)
  expect((await pausesAfter([40, 40], 500, 100)).hurried).toBe(120)
})
