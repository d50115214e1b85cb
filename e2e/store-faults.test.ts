/** What a store and a processor do on their worst day. Afterwards the ledger equals the store, and each window its readings. */
import { systemClock } from '@tributary/runtime'
import type { ManagedProcess, Pipeline } from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { expectWindows } from './harness/expect-windows.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const RATE = 2_000

const again = async (process: ManagedProcess, times: number) => {
  for (let i = 0; i < times; i++) {
    await systemClock.sleep(3_000)
    await process.kill('SIGKILL')
    await process.start(AbortSignal.timeout(60_000))
  }
}
const hang = async (process: ManagedProcess, durationMs: number) => {
  await systemClock.sleep(4_000)
  await process.kill('SIGSTOP')
  await systemClock.sleep(durationMs)
  await process.kill('SIGCONT')
}
const faults: Record<string, (pipeline: Pipeline) => Promise<void>> = {
  'influxd killed every three seconds': ({ influx }) => again(influx, 4),
  'influxd hanging for fifteen seconds': ({ influx }) => hang(influx, 15_000),
  'the processor killed every three seconds': ({ processor }) => again(processor, 4),
  'the processor hanging for fifteen seconds': ({ processor }) => hang(processor, 15_000),
}

describe('under load', () => {
  for (const [name, fault] of Object.entries(faults))
    test(name, { timeout: 180_000 }, () =>
      withPipeline({ ratePerSecond: RATE, seed: 12 }, async (pipeline) => {
        await fault(pipeline)
        // Long enough for two whole windows of 10 s, wherever the run began.
        await systemClock.sleep(15_000)
        const { ledger } = await expectBalanced(pipeline)
        expect(ledger.produced).toBeGreaterThan(RATE * 10)
        expect(ledger.deadLettered).toBe(0)
        await expectWindows(pipeline)
      }),
    )
})
