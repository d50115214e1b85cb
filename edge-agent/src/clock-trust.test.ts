import { expect, test } from 'vitest'
import { type ClockKnowledge, hearGateway, hearSystem, startKnowledge } from './clock-trust.ts'

const YEAR_MS = 365 * 86_400_000
const gatewayAt = (offsetMs: number, errorMs = 5, trusted = true) => ({ offsetMs, errorMs, trusted })
/** Hears one after the other. */
const after = (start: ClockKnowledge, ...heard: ((known: ClockKnowledge) => ClockKnowledge)[]) =>
  heard.reduce((known, hear) => hear(known), start)
const system =
  (offsetMs: number, vouched = true) =>
  (known: ClockKnowledge) =>
    hearSystem(known, offsetMs, vouched)
const gateway = (offsetMs: number, errorMs?: number, trusted?: boolean) => (known: ClockKnowledge) =>
  hearGateway(known, gatewayAt(offsetMs, errorMs, trusted))
const unset = startKnowledge(0, undefined)

test('nobody vouches: the clock is as it was at the start, wherever it jumps', () => {
  expect(after(unset, system(YEAR_MS, false))).toMatchObject({ offsetMs: 0, by: undefined })
})

test('whoever vouches first is believed', () => {
  expect(after(unset, system(1_000_000))).toMatchObject({ offsetMs: 1_000_000, by: 'system' })
  expect(after(unset, gateway(1_000_000))).toMatchObject({ offsetMs: 1_000_000, by: 'gateway' })
})

test('a gateway that does not vouch for its clock gives the time to those who have none, and to nobody else', () => {
  expect(after(unset, gateway(YEAR_MS, 5, false))).toMatchObject({ offsetMs: YEAR_MS, by: undefined })
  expect(after(unset, gateway(YEAR_MS, 5, false), gateway(YEAR_MS + 4, 5, false)).offsetMs).toBe(YEAR_MS)
  expect(after(unset, system(500), gateway(YEAR_MS, 5, false))).toMatchObject({ offsetMs: 500, by: 'system' })
})

test('a measurement that agrees within its error moves nothing; else the offset moves to its edge', () => {
  const trusted = after(unset, gateway(1_000, 5))
  expect(after(trusted, gateway(1_004, 5)).offsetMs).toBe(1_000)
  expect(after(trusted, gateway(1_020, 5)).offsetMs).toBe(1_015)
  expect(after(trusted, gateway(980, 5)).offsetMs).toBe(985)
})

test('the system’s clock, once its kernel vouches for it, counts for more than the gateway', () => {
  const both = after(unset, gateway(7_200_000), system(1_000))
  expect(both).toMatchObject({ offsetMs: 1_000, by: 'system' })
  expect(after(both, gateway(7_200_000), gateway(7_200_000))).toMatchObject({ offsetMs: 1_000, by: 'system' })
})

test('a user sets the clock by a year while the kernel vouches for it: nothing changes', () => {
  const known = after(unset, system(1_000), system(YEAR_MS), system(YEAR_MS))
  expect(known).toMatchObject({ offsetMs: 1_000, by: 'system', systemJumpedToMs: YEAR_MS })
  expect(after(known, gateway(1_003), gateway(1_003))).toMatchObject({ offsetMs: 1_000, by: 'gateway' })
  expect(after(known, system(1_002))).toMatchObject({ offsetMs: 1_002, by: 'system', systemJumpedToMs: undefined })
})

test('after a sleep the system and the gateway agree on another time: it is followed at once', () => {
  expect(after(unset, system(1_000), system(9_000_000), gateway(9_000_004))).toMatchObject({
    offsetMs: 9_000_004,
    by: 'gateway',
  })
})

test('a gateway that is suddenly elsewhere is believed when it says the same again', () => {
  const once = after(unset, gateway(1_000), gateway(-5_000_000))
  expect(once).toMatchObject({ offsetMs: 1_000, gatewayElsewhereMs: -5_000_000 })
  expect(after(once, gateway(1_001)).gatewayElsewhereMs).toBeUndefined()
  expect(after(once, gateway(-9_000_000))).toMatchObject({ offsetMs: 1_000, gatewayElsewhereMs: -9_000_000 })
  expect(after(once, gateway(-5_000_003))).toMatchObject({ offsetMs: -5_000_003, by: 'gateway' })
})

test('what was trusted stays trusted when nobody vouches any more', () => {
  expect(after(unset, system(1_000), system(1_000, false), gateway(0, 5, false))).toMatchObject({
    offsetMs: 1_000,
    by: 'system',
  })
})
