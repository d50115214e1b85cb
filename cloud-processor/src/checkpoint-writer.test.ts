import { createLogger } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import type { CheckpointStore } from './checkpoint.ts'
import { createCheckpointWriter } from './checkpoint-writer.ts'
import { createPerseverance } from './persevere.ts'
import { contextOf, stateFor } from './testing.ts'

/** @returns how long after a save the next one may be made, milliseconds */
async function pauseAfter(saveMs: number, intervalMs: number): Promise<number> {
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
  return writer.dueAtMs - clock.monotonicMs()
}

test('saving takes at most a tenth of the time', async () => {
  expect(await pauseAfter(10, 500)).toBe(500)
  expect(await pauseAfter(100, 500)).toBe(900)
  expect(await pauseAfter(400, 500)).toBe(3_600)
})

test('a save during which the process or the disk stood still does not put off the next one for minutes: alerts and acknowledgements wait for it', async () => {
  expect(await pauseAfter(15_000, 500)).toBe(5_000)
  expect(await pauseAfter(15_000, 60_000)).toBe(60_000)
})
