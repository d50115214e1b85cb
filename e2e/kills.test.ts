/** A SIGKILL of every process in turn, under load: afterwards the simulator's ledger equals the store, value by value. */
import { systemClock } from '@tributary/runtime'
import type { ManagedProcess, Pipeline } from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const RATE = 2_000
const victims: Record<string, (pipeline: Pipeline) => ManagedProcess> = {
  'the agent with serial devices': (p) => p.agents[0] as ManagedProcess,
  'the agent with MQTT devices': (p) => p.agents[1] as ManagedProcess,
  'the gateway': (p) => p.gateway,
  'the processor': (p) => p.processor,
  'nats-server': (p) => p.nats,
  influxd: (p) => p.influx,
}

describe('SIGKILL under load, down for two seconds, started again', () => {
  for (const [name, victim] of Object.entries(victims))
    test(name, { timeout: 180_000 }, () =>
      withPipeline({ ratePerSecond: RATE, seed: 11 }, async (pipeline) => {
        await systemClock.sleep(4_000)
        await victim(pipeline).kill('SIGKILL')
        await systemClock.sleep(2_000)
        await victim(pipeline).start(AbortSignal.timeout(60_000))
        await systemClock.sleep(4_000)
        const { ledger } = await expectBalanced(pipeline)
        expect(ledger.produced).toBeGreaterThan(RATE * 6)
        expect(ledger.deadLettered).toBe(0)
      }),
    )
})
