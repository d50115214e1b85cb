/** Agents with `retain: stored` outlive the disks of all that stand between them and the store. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { askJson, type ManagedProcess, type Pipeline } from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { until } from './harness/run-tributary.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const RATE = 2_000
const start = (process: ManagedProcess) => process.start(AbortSignal.timeout(60_000))

/** The agents of a pipeline keep everything until it is in the store. */
async function retainUntilStored({ agents }: Pipeline, folder: string): Promise<void> {
  for (const agent of agents) {
    const file = join(folder, `${agent.name}.yaml`)
    const config = await readFile(file, 'utf8')
    const changed = config.replace(/^( *)durability: .*$/m, (line, indent) => `${line}\n${indent}retain: stored`)
    expect(changed).not.toBe(config)
    await agent.stop()
    await writeFile(file, changed)
    await start(agent)
  }
}

interface AgentFigures {
  retain: string
  resentBatches: number
  nextSequence: number
  storedThrough: number | null
}

const figuresOf = ({ urls }: Pipeline) => Promise.all(urls.agents.map((url) => askJson<AgentFigures>(`${url}/status`)))

describe('retain: stored', () => {
  for (const [name, natsToo] of [
    ['the gateway loses its disk', false],
    ['the gateway and NATS lose their disks at once', true],
  ] as const)
    test(`${name}: nothing is missing`, { timeout: 240_000 }, () =>
      withPipeline({ ratePerSecond: RATE, seed: 21 }, async (pipeline, folder) => {
        await retainUntilStored(pipeline, folder)
        await systemClock.sleep(4_000)
        // Meanwhile nothing gets into the store: what was acknowledged is at the gateway and in the stream alone.
        await pipeline.processor.kill('SIGSTOP')
        await systemClock.sleep(3_000)
        await pipeline.gateway.kill('SIGKILL')
        if (natsToo) {
          await pipeline.nats.kill('SIGKILL')
          await rm(join(folder, 'jetstream'), { recursive: true })
          await start(pipeline.nats)
        }
        for (const lost of ['gateway-spool', 'gateway-spool.marks'])
          await rm(join(folder, lost), { recursive: true, force: true })
        await start(pipeline.gateway)
        // While the processor stands still nothing that was acknowledged counts as stored: all of it is sent again.
        await until(
          async () =>
            (await figuresOf(pipeline)).every((agent) => agent?.retain === 'stored' && agent.resentBatches > 0),
          'each agent sends again what is not stored',
        )
        await pipeline.processor.kill('SIGCONT')
        await systemClock.sleep(4_000)
        const { ledger } = await expectBalanced(pipeline)
        expect(ledger.produced).toBeGreaterThan(RATE * 8)
      }),
    )
})
