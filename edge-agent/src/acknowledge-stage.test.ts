import type { BatchHeader, DeviceBlock } from '@tributary/protocol'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createAcknowledgeStage } from './acknowledge-stage.ts'

const START_MS = Date.UTC(2026, 0, 1)
const block = (timesMs: number[], stampedByAgent: boolean): DeviceBlock => ({
  device: 'd',
  kind: 'climate',
  timesMs: Float64Array.from(timesMs),
  columns: [],
  ...(stampedByAgent ? { stampedByAgent } : {}),
})
const header = (sequence: number, monotonicMs: number): BatchHeader =>
  ({ sequence, monotonicMs, createdAtMs: START_MS + monotonicMs }) as BatchHeader

test('from the sample in the middle of what the agent stamped to the PUBACK, whatever happens to the wall clock', async () => {
  const clock = createSimulatedClock(START_MS)
  const stage = createAcknowledgeStage(clock)
  await clock.advance(1_000)
  const blocks = [block([0], false), block([START_MS + 200, START_MS + 600, START_MS + 900], true)]
  stage.stored({ blocks }, header(1, 1_000))
  clock.setWall(START_MS + 1e9)
  await clock.advance(50)
  stage.acknowledged(1, 'live')
  expect(stage.take()).toEqual({ p50: 450, p99: 450 })
})

test('without a block of its own stamps the first one counts; the backlog, what came again and what has no samples do not', async () => {
  const clock = createSimulatedClock(START_MS)
  const stage = createAcknowledgeStage(clock)
  await clock.advance(1_000)
  stage.stored({ blocks: [] }, header(1, 1_000))
  stage.stored({ blocks: [block([START_MS + 990], false)] }, header(2, 1_000))
  stage.stored({ blocks: [block([START_MS], false)] }, header(3, 1_000))
  for (const sequence of [1, 2, 2]) stage.acknowledged(sequence, 'live')
  stage.acknowledged(3, 'backlog')
  stage.acknowledged(3, 'live')
  expect(stage.take()).toEqual({ p50: 10, p99: 10 })
})
