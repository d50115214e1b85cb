import { expect, test } from 'vitest'
import { gatewayStateOf } from './status.ts'

test.each([
  ['live', true, true, 64],
  ['draining', true, true, 65],
  ['offline', false, true, 0],
  ['offline', true, false, 1_000],
] as const)('%s: connected %s, stream ready %s, %i batches wait', (state, connected, ready, backlogRecords) => {
  const condition = { config: { nats: { in_flight: 64 } }, link: { connected }, stream: { ready } }
  expect(gatewayStateOf({ ...condition, forwarder: { lanes: { backlogRecords } } })).toBe(state)
})
