import { expect, test } from 'vitest'
import { type AgentCondition, agentStateOf } from './agent-state.ts'

const fine: AgentCondition = { connected: true, clockTrusted: true, backlogBatches: 0, inFlightMax: 16 }

test.each<[string, Partial<AgentCondition>]>([
  ['live', {}],
  ['live', { backlogBatches: 16 }],
  ['draining', { backlogBatches: 17 }],
  ['clock_not_trusted', { clockTrusted: false }],
  ['clock_not_trusted', { clockTrusted: false, backlogBatches: 1_000 }],
  ['offline', { connected: false }],
  ['offline', { connected: false, clockTrusted: false, backlogBatches: 1_000 }],
])('%s: the worst of %o', (state, condition) => expect(agentStateOf({ ...fine, ...condition })).toBe(state))
