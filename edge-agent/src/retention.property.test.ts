import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createRetentionHarness, SEGMENT_BYTES } from './retention-harness.ts'

const BUDGET = 6 * SEGMENT_BYTES
const ordinary = { samples: 20, devices: 2, intervalMs: 500 }

async function offerAll(agent: ReturnType<typeof createRetentionHarness>, count: number, offer = ordinary) {
  for (let i = 0; i < count; i++) expect(await agent.offer(offer)).toBe(true)
}

describe('an outage far beyond the budget', () => {
  test('stays within it at all times, and every reading is accounted for', async () => {
    const agent = createRetentionHarness(1, { bytesMax: BUDGET })
    await agent.open()
    await offerAll(agent, 400)
    expect(agent.mostBytes).toBeLessThanOrEqual(BUDGET)
    expect(agent.mostBytes).toBeGreaterThan(BUDGET - 2 * SEGMENT_BYTES)
    expect(agent.totals.shedReadings).toBe(0)
    await agent.drain()
    const { rolledUp, shed, received } = agent.check()
    expect(received).toBeGreaterThan(0)
    expect(rolledUp).toBeGreaterThan(received)
    expect(shed).toBeGreaterThan(0)
  })

  test('health goes last', async () => {
    const agent = createRetentionHarness(2, { bytesMax: BUDGET })
    await agent.open()
    let offers = 0
    const readingsLeft = () => agent.drain().then(() => agent.check())
    while (agent.mostBytes < BUDGET - 2 * SEGMENT_BYTES) {
      await agent.offer({ ...ordinary, health: true })
      offers += 1
    }
    const full = offers
    for (; offers < 3 * full; offers++) await agent.offer({ ...ordinary, health: true })
    await readingsLeft()
    const ages = (kind: string) => {
      const times = [...agent.received.values()].flatMap(({ blocks, rollups }) =>
        [...blocks, ...rollups].filter((block) => block.kind === kind).flatMap(({ timesMs }) => [...timesMs]),
      )
      return Math.min(...times)
    }
    // Each health sample came as a sample or in a window; the oldest of the others are gone.
    expect(ages('agent_health')).toBeLessThan(ages('k'))
    expect(agent.received.size).toBeGreaterThan(0)
  })

  test('dead letters are carried on, then joined; their readings count as shed', async () => {
    const agent = createRetentionHarness(3, { bytesMax: BUDGET })
    await agent.open()
    await offerAll(agent, 60, { ...ordinary, deadLetters: 1 } as typeof ordinary)
    await offerAll(agent, 300)
    await agent.drain()
    agent.check()
    const letters = [...agent.received.values()].flatMap(({ deadLetters }) => deadLetters)
    const joined = letters.map(({ detail }) => Number(/^(\d+) dead letters, joined/.exec(detail)?.[1] ?? 0))
    const carried = letters.filter(({ detail }) => detail.includes('carried on because the spool was full'))
    expect(joined.reduce((sum, count) => sum + count, 0) + carried.length).toBe(60)
    expect(letters.every(({ reason, readingCount }) => reason === 'not_json' && readingCount === 0)).toBe(true)
  })
})

test('the disk full from outside, and nothing to be given up: the batch waits, and goes on when there is room', async () => {
  const agent = createRetentionHarness(4, { bytesMax: BUDGET })
  await agent.open()
  await offerAll(agent, 3)
  agent.disk.bytesMax = 0
  expect(await agent.offer(ordinary)).toBe(false)
  agent.disk.bytesMax = Number.POSITIVE_INFINITY
  await agent.clock.advance(5_000)
  await offerAll(agent, 3)
  await agent.drain()
  expect(agent.check().shed).toBe(0)
})

test('the disk full from outside, not even the reserve is left: it costs little to find that out again and again', async () => {
  const agent = createRetentionHarness(4, { bytesMax: 2 * BUDGET, freeBytesMin: 3 * SEGMENT_BYTES })
  await agent.open()
  await offerAll(agent, 60)
  agent.disk.bytesMax = agent.spool.bytesUsed + 2 * SEGMENT_BYTES - 1_000
  while (await agent.offer(ordinary)) await agent.clock.advance(1_500)
  let reads = 0
  agent.disk.faultAt = ({ kind, path }) => {
    if (kind === 'open' && path.endsWith('.seg')) reads += 1
    return undefined
  }
  await agent.clock.advance(120_000)
  expect(reads).toBeGreaterThan(0)
  expect(reads).toBeLessThan(20)
  agent.disk.bytesMax = Number.POSITIVE_INFINITY
  await agent.clock.advance(5_000)
  await offerAll(agent, 3)
  await agent.drain()
  agent.check()
})

test('what is on its way is left alone; what had left before a crash is shed, not rolled up', async () => {
  const agent = createRetentionHarness(5, { bytesMax: BUDGET })
  await agent.open()
  await offerAll(agent, 40)
  // Some arrived without an acknowledgement, some did not arrive.
  await agent.deliver(5, { acknowledged: false })
  await agent.deliver(10, { arrives: false, acknowledged: false })
  await offerAll(agent, 200)
  await agent.drain()
  const { received, shed } = agent.check()
  expect(shed).toBeGreaterThan(0)
  expect(received).toBeGreaterThan(0)
})

const action = fc.oneof(
  { weight: 8, arbitrary: fc.record({ offers: fc.integer({ min: 1, max: 40 }), health: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      deliver: fc.integer({ min: 1, max: 30 }),
      arrives: fc.boolean(),
      acknowledged: fc.boolean(),
      newest: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constant('crash' as const) },
)

test('whatever happens: within the budget, all accounted for, no reading beside its window', async () => {
  const sum = { rolledUp: 0, shed: 0, received: 0 }
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.array(action, { minLength: 4, maxLength: 12 }), async (seed, actions) => {
      const agent = createRetentionHarness(seed, { bytesMax: BUDGET })
      await agent.open()
      for (const one of actions) {
        if (one === 'crash') {
          agent.disk.crash()
          await agent.open()
        } else if ('offers' in one)
          for (let i = 0; i < one.offers; i++) await agent.offer({ ...ordinary, health: one.health })
        else await agent.deliver(one.deliver, one)
      }
      expect(agent.mostBytes).toBeLessThanOrEqual(BUDGET)
      await agent.drain()
      const result = agent.check()
      for (const key of ['rolledUp', 'shed', 'received'] as const) sum[key] += result[key]
    }),
    {
      numRuns: Number(process.env['RETENTION_RUNS'] ?? 12),
      // One that surely comes to shedding.
      examples: [[1, Array.from({ length: 10 }, () => ({ offers: 40, health: false }))]],
    },
  )
  expect(Math.min(...Object.values(sum))).toBeGreaterThan(0)
}, 120_000)
