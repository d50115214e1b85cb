import { createLogger, createMetrics } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createAgentCommands } from './agent-commands.ts'

const EPOCH = '00000000000000e1'

function commandsWith() {
  const clock = createSimulatedClock()
  const told: unknown[] = []
  const link = { up: true }
  const publish = (agent: string, payload: string) => {
    if (link.up) told.push([agent, JSON.parse(payload)])
    return link.up
  }
  const log = createLogger('gateway', 'silent')
  return {
    clock,
    told,
    link,
    commands: createAgentCommands(publish, { clock, log, metrics: createMetrics('gateway') }),
  }
}

test('an agent is asked for a range once a minute', async () => {
  const { clock, told, commands } = commandsWith()
  for (let i = 0; i < 5; i++) commands.askAgain('pi-1', EPOCH, 5, 9)
  commands.askAgain('pi-1', EPOCH, 11, 11)
  const ask = { type: 'resend', epoch: EPOCH }
  expect(told).toEqual([
    ['pi-1', { ...ask, fromSequence: 5, toSequence: 9 }],
    ['pi-1', { ...ask, fromSequence: 11, toSequence: 11 }],
  ])
  await clock.advance(59_000)
  commands.askAgain('pi-1', EPOCH, 5, 9)
  expect(told).toHaveLength(2)
  await clock.advance(1_000)
  commands.askAgain('pi-1', EPOCH, 5, 9)
  expect(told).toHaveLength(3)
})

test('an agent that is away is asked as soon as it is back', () => {
  const { told, link, commands } = commandsWith()
  link.up = false
  commands.askAgain('pi-1', EPOCH, 1, 2)
  link.up = true
  commands.askAgain('pi-1', EPOCH, 1, 2)
  expect(told).toHaveLength(1)
})

test('what was asked is remembered up to a limit', () => {
  const { told, commands } = commandsWith()
  for (let i = 1; i <= 1_500; i++) commands.askAgain('pi-1', EPOCH, i, i)
  commands.askAgain('pi-1', EPOCH, 1_400, 1_400)
  expect(told).toHaveLength(1_500)
  commands.askAgain('pi-1', EPOCH, 1, 1)
  expect(told).toHaveLength(1_501)
})
