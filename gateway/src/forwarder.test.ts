import { createLogger, createMetrics, createStage } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import { openSpool } from '@tributary/spool'
import { expect, test } from 'vitest'
import { createForwarder } from './forwarder.ts'
import { encodeRecord } from './record.ts'
import type { Stream } from './stream.ts'
import { createStreamPace } from './stream-pace.ts'
import { EPOCH, makeBatch } from './testing.ts'
import { createWaiting } from './waiting.ts'

const log = createLogger('gateway', 'silent')
const never = new AbortController().signal

test('what was confirmed and is sent again after a failure is counted once: what waits is not forgotten', async () => {
  const clock = createSimulatedClock()
  const metrics = createMetrics('gateway')
  const options = { segmentBytesMax: 8192, bytesMax: 65_536, durabilityMs: 0, freeBytesMin: 0 }
  const fileSystem = createFaultyFileSystem({ seed: 1 }).mount()
  const spool = await openSpool('/spool', options, { clock, log, metrics, fileSystem })
  const waiting = createWaiting()
  const answers: { resolve: () => void; reject: (error: Error) => void }[] = []
  const stream = {
    ready: true,
    payloadBytesMax: 1e6,
    waitUntilReady: async () => undefined,
    publish: () => new Promise<void>((resolve, reject) => void answers.push({ resolve, reject })),
  } as unknown as Stream
  const pace = createStreamPace(async () => undefined, { clock, metrics })
  for (let sequence = 1; sequence <= 10; sequence++) {
    const identity = { epoch: EPOCH, sequence, readingCount: 3 }
    const record = encodeRecord({ agent: 'pi-1', receivedAtMs: 0, identity, batch: makeBatch('pi-1', sequence) })
    await spool.append(record)
    waiting.add('pi-1', record.length)
  }
  const stage = createStage()
  for (let sequence = 1; sequence <= 10; sequence++) stage.began(sequence, 0)
  const forwarder = createForwarder(spool, stream, { pace, waiting, stage, inFlightMax: 4 }, { clock, log, metrics })
  await forwarder.start(never)
  await clock.advance(10)
  expect(answers).toHaveLength(4)
  const [first, ...others] = answers.splice(0)
  for (const { resolve } of others) resolve()
  first?.reject(new Error('not confirmed'))
  await clock.advance(1_000)
  expect(spool.sentThrough).toBe(0)
  expect(stage.take()).toEqual({ p50: 10, p99: 10 })
  for (const { resolve } of answers.splice(0)) resolve()
  await clock.advance(10)
  expect(spool.sentThrough).toBe(4)
  expect(forwarder.backlogOf('pi-1').batches).toBe(6)
  expect(stage.take().p50).toBeGreaterThan(1_000)
  await forwarder.stop(never)
  await spool.close()
})
