/** Every disk operation while room is made is a place to die. */
import { expect, test } from 'vitest'
import { createRetentionHarness, SEGMENT_BYTES } from './retention-harness.ts'

const BUDGET = 6 * SEGMENT_BYTES
const ordinary = { samples: 20, devices: 2, intervalMs: 500 }

async function offerAll(agent: ReturnType<typeof createRetentionHarness>, count: number) {
  for (let i = 0; i < count; i++) expect(await agent.offer(ordinary)).toBe(true)
}

test('a crash at any disk operation while room is made: nothing is lost, nothing counted twice', async () => {
  const scenario = async (crashAt: number) => {
    const agent = createRetentionHarness(6, { bytesMax: BUDGET })
    await agent.open()
    await offerAll(agent, 90)
    const first = agent.disk.operations
    if (crashAt >= 0)
      agent.disk.faultAt = ({ index }) => {
        if (index !== first + crashAt) return undefined
        agent.disk.faultAt = undefined
        return 'crash'
      }
    for (let i = 0; i < 40 && agent.isOpen; i++) await agent.offer(ordinary)
    const operations = agent.disk.operations - first
    if (!agent.isOpen) {
      await agent.open()
      await offerAll(agent, 40)
    }
    await agent.drain()
    const result = agent.check()
    return { operations, ...result }
  }
  const { operations, rolledUp } = await scenario(-1)
  expect(rolledUp).toBeGreaterThan(0)
  let crashesAfterRollup = 0
  for (let at = 0; at < operations; at++) if ((await scenario(at)).rolledUp > 0) crashesAfterRollup += 1
  console.log(`${operations} crash points`)
  expect(operations).toBeGreaterThan(50)
  expect(crashesAfterRollup).toBeGreaterThan(10)
}, 300_000)

test('what was given up before a crash is let go of although the cursor cannot be written: the agent starts', async () => {
  const isCursor = ({ kind, path }: { kind: string; path: string }) => kind === 'write' && path.endsWith('/cursor')
  let starts = 0
  for (let crashAt = 0; ; crashAt++) {
    const agent = createRetentionHarness(6, { bytesMax: BUDGET })
    await agent.open()
    await offerAll(agent, 90)
    let writes = 0
    agent.disk.faultAt = (operation) => (isCursor(operation) && writes++ === crashAt ? 'crash' : undefined)
    for (let i = 0; i < 40 && agent.isOpen; i++) await agent.offer(ordinary)
    if (agent.isOpen) break
    agent.disk.faultAt = (operation) => (isCursor(operation) ? 'EIO' : undefined)
    await agent.open()
    starts += 1
    agent.disk.faultAt = undefined
    await offerAll(agent, 10)
    await agent.drain()
    agent.check()
  }
  expect(starts).toBeGreaterThan(1)
}, 60_000)
