import { type Contract, contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { limitsFor } from './device-limits.ts'
import { deviceEntrySchema } from './device-record.ts'
import {
  type BatchPlan,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  decodeState,
  encodeState,
  intakeOf,
  registryOf,
  stateFor,
  step,
} from './testing.ts'

const T = 1_767_225_600_000
const contract: Contract = contractSchema.parse({
  kind: 'watched',
  version: 1,
  description: 'A level that somebody cares about.',
  interval: '1s',
  fields: { level: { type: 'float', label: 'Level' }, flow: { type: 'float', label: 'Flow' } },
  thresholds: [
    { field: 'level', above: 10 },
    { field: 'flow', above: 5 },
  ],
})
const limits = (...thresholds: object[]) => deviceEntrySchema.parse({ device: 'pump-1', thresholds }).thresholds
const names = (...own: object[]) => limitsFor(contract, limits(...own)).map(({ field, above }) => `${field}>${above}`)

test('a limit of the device stands in for all of the contract on that field, and of no other kind', () => {
  expect(names()).toEqual(['level>10', 'flow>5'])
  expect(names({ field: 'level', above: 20 }, { field: 'level', above: 30 })).toEqual([
    'flow>5',
    'level>20',
    'level>30',
  ])
  expect(names({ field: 'level', above: 20, kind: 'watched' })).toEqual(['flow>5', 'level>20'])
  expect(names({ field: 'level', above: 20, kind: 'other' }, { field: 'depth', above: 1 })).toEqual([
    'level>10',
    'flow>5',
  ])
})

/** Level 12, then 25, under changing limits; after each batch the state goes through bytes, or not. */
function alertsOf(throughBytes: boolean): string[] {
  const devices = {
    'pump-1': [
      { thresholds: limits({ field: 'level', above: 20, severity: 'critical' }) },
      {
        fromMs: T + 50_000,
        thresholds: limits({ field: 'level', above: 20, severity: 'critical' }, { field: 'flow', above: 1 }),
      },
      { fromMs: T + 100_000, thresholds: limits({ field: 'level', above: 40 }) },
      { fromMs: T + 150_000 },
    ],
  }
  const context = contextOf([contract], { registry: registryOf(devices) })
  let state = stateFor(context)
  const effects = createEffects()
  const told: string[] = []
  for (let s = 1; s < 40; s++) {
    const timeMs = T + s * 5_000
    const values = { level: s < 6 ? 12 : 25, flow: 0 }
    const plan: BatchPlan = {
      sequence: s,
      readingsBefore: (s - 1) * 2,
      completeThroughMs: timeMs,
      blocks: [blockOf('pump-1', 'watched', [{ timeMs, values }])],
    }
    clearEffects(effects)
    step(state, intakeOf(batchOf(plan), { receivedAtMs: timeMs, streamSequence: s }), context, effects)
    told.push(
      ...effects.transitions.map((t) => `${(t.atMs - T) / 1_000} ${t.state} ${t.severity} ${t.detector} ${t.message}`),
    )
    if (throughBytes) state = decodeState(encodeState(state), context.contracts)
  }
  return told
}

test('alerts follow the limits of the device as they change, and a restart at any time makes no difference', () => {
  const told = alertsOf(false)
  expect(told).toEqual([
    expect.stringMatching(/^30 firing critical threshold_above_20 .*above the limit 20/),
    expect.stringMatching(/resolved critical threshold_above_20 .*pump-1 has other limits now; it was/),
    expect.stringMatching(/^150 firing warning threshold_above_10 /),
  ])
  expect(alertsOf(true)).toEqual(told)
})

test('what was measured where the device stood before is stored there and judged by nobody', () => {
  const devices = { 'pump-1': [{ site: 'hall' }, { site: 'yard', fromMs: T + 50_000 }] }
  const context = contextOf([contract], { registry: registryOf(devices) })
  const state = stateFor(context)
  const effects = createEffects()
  const samples = [40_000, 49_999, 50_000, 60_000].map((offset) => ({ timeMs: T + offset, values: { level: 99 } }))
  const batch = batchOf({ sequence: 1, completeThroughMs: T + 60_000, blocks: [blockOf('pump-1', 'watched', samples)] })
  step(state, intakeOf(batch, { receivedAtMs: T + 61_000 }), context, effects)
  const lines = effects.lines.bytes.toString('utf8', 0, effects.lines.length).split('\n')
  expect(
    lines.filter((line) => line.startsWith('watched,')).map((line) => /site=(\w+).* (\d+)$/.exec(line)?.slice(1)),
  ).toEqual([
    ['hall', String(T + 40_000)],
    ['hall', String(T + 49_999)],
    ['yard', String(T + 50_000)],
    ['yard', String(T + 60_000)],
  ])
  expect(effects.transitions.map(({ site, state: to }) => `${site} ${to}`)).toEqual(['yard firing'])
  expect(state.counters.historical).toBe(2)
})
