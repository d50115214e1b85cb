import { describe, expect, test } from 'vitest'
import { createRetentionHarness, SEGMENT_BYTES } from './retention-harness.ts'

const ordinary = { samples: 4, devices: 2, intervalMs: 1_000 }

describe('an outage far beyond the budget', () => {
  test('stays within the budget, and everything is accounted for', async () => {
    const agent = createRetentionHarness(1)
    await agent.open()
    for (let i = 0; i < 1_500; i++) expect(await agent.offer(ordinary)).toBe(true)
    expect(agent.mostBytes).toBeLessThanOrEqual(8 * SEGMENT_BYTES)
    expect(agent.mostBytes).toBeGreaterThan(5 * SEGMENT_BYTES)
    await agent.drain()
    const { rolledUp, shed, received } = agent.check()
    console.log({ rolledUp, shed, received, mostBytes: agent.mostBytes })
    expect(rolledUp).toBeGreaterThan(received)
  })
})
