/** Faults that come together or do not end a process: the simulator's ledger still equals the store, value by value. */
import { systemClock } from '@tributary/runtime'
import type { ManagedProcess, Pipeline } from '@tributary/stack'
import { expect, test } from 'vitest'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const RATE = 2_000
const start = (process: ManagedProcess) => process.start(AbortSignal.timeout(60_000))

const faults: Record<string, (pipeline: Pipeline) => Promise<void>> = {
  'the whole site without power': async ({ agents, gateway, nats, influx, processor }) => {
    const all = [...agents, gateway, nats, influx, processor]
    await Promise.all(all.map((process) => process.kill('SIGKILL')))
    await systemClock.sleep(1_000)
    await Promise.all(all.map(start))
  },
  'agent and gateway killed again and again, while they start too': async ({ agents, gateway }) => {
    const victims = [agents[0] as ManagedProcess, gateway]
    for (const afterMs of [100, 400, 700]) {
      await Promise.all(victims.map((process) => process.kill('SIGKILL')))
      // It is killed before it is ready; that it does not become ready is what this is about.
      const starting = victims.map((process) => start(process).catch(() => undefined))
      await systemClock.sleep(afterMs)
      await Promise.all(victims.map((process) => process.kill('SIGKILL')))
      await Promise.all(starting)
    }
    await Promise.all(victims.map(start))
  },
  'a gateway that stands still for longer than agents wait': async ({ gateway }) => {
    await gateway.kill('SIGSTOP')
    await systemClock.sleep(13_000)
    await gateway.kill('SIGCONT')
  },
}

for (const [name, fault] of Object.entries(faults))
  test(name, { timeout: 240_000 }, () =>
    withPipeline({ ratePerSecond: RATE, seed: 23 }, async (pipeline) => {
      await systemClock.sleep(4_000)
      await fault(pipeline)
      await systemClock.sleep(4_000)
      const { ledger } = await expectBalanced(pipeline)
      expect(ledger.produced).toBeGreaterThan(RATE * 6)
      expect(ledger.deadLettered).toBe(0)
    }),
  )
