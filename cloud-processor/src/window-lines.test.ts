/** What a row says does not depend on the way in which its readings came, and a later revision leaves nothing of an earlier one. */
import { contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'
import { createModelStore, type ModelValue } from './model-store-harness.ts'
import { recompute } from './recompute.ts'
import {
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  intakeOf,
  type SampleValues,
  stateFor,
  step,
} from './testing.ts'
import { writeRow } from './window-lines.ts'

const T = 1_767_225_600_000

const plant = contractSchema.parse({
  kind: 'plant',
  version: 1,
  description: 'One field of each sort.',
  interval: '1s',
  fields: {
    current: { type: 'float', label: 'Current', decimals: 6 },
    total: { type: 'float', label: 'Total', role: 'counter' },
    running: { type: 'boolean', label: 'Running' },
    mode: { type: 'string', label: 'Mode' },
  },
})

/** Each group of samples is a batch; each but the last is promised to be all there is. @returns the row of 10 s as the store has it */
function rowOf(...groups: readonly (readonly SampleValues[])[]): ReadonlyMap<string, ModelValue> {
  const context = contextOf([plant])
  const state = stateFor(context)
  const effects = createEffects()
  const store = createModelStore()
  for (const [i, group] of [...groups, []].entries()) {
    clearEffects(effects)
    const blocks = group.length > 0 ? [blockOf('d', 'plant', group)] : []
    step(state, intakeOf(batchOf({ sequence: i + 1, completeThroughMs: T + 20_000, blocks })), context, effects)
    for (let n = 0; n < effects.rollups.count; n++) store.write(effects.rollups.line(n).toString('utf8').trimEnd())
  }
  const row = new Map(store.series.get('plant_10s,device=d,site=workshop')?.get(T))
  row.delete('revision')
  return row
}
const of = (field: string, ...values: (number | boolean | string)[]): SampleValues[] =>
  values.map((value, i) => ({ timeMs: T + i, values: { [field]: value } }))

test('each field says how many readings it is of, so that the store can tell a row of fewer', () => {
  const row = rowOf([...of('running', true, false, true), ...of('mode', 'on', 'off')])
  expect(Object.fromEntries(row)).toMatchObject({
    running_count: 3,
    running_last: true,
    mode_count: 2,
    mode_last: 'off',
  })
})

test('percentiles of the smallest values are as good as those of others', () => {
  const tiny = Array.from({ length: 200 }, (_, i) => (i + 1) * 1e-11)
  const row = rowOf(of('current', ...tiny))
  for (const [name, exact] of [
    ['p50', 100e-11],
    ['p95', 190e-11],
    ['p99', 198e-11],
  ] as const)
    expect(Math.abs((row.get(`current_${name}`) as number) / exact - 1)).toBeLessThanOrEqual(0.01)
})

test.each([
  ['a reading beyond all squares', [1, 2, 3], [1e300]],
  ['readings whose distance has no number', [1, 2], [Number.MAX_VALUE, -Number.MAX_VALUE]],
])('%s comes late: the row is that of all readings at once', (_, early, late) => {
  const all = of('current', ...early, ...late)
  const atOnce = rowOf(all)
  const revised = rowOf(all.slice(0, early.length), all.slice(early.length))
  expect(Object.fromEntries(revised)).toEqual(Object.fromEntries(atOnce))
  const [mean, deviation] = ['current_mean', 'current_stddev'].map((field) => atOnce.get(field) as number)
  expect(mean).toBeGreaterThanOrEqual(Math.min(...early, ...late))
  expect(mean).toBeLessThanOrEqual(Math.max(...early, ...late))
  expect(deviation).toBeGreaterThan(1e299)
  expect(deviation).toBeLessThan(Number.POSITIVE_INFINITY)
})

test('an increase that has no number is left out, and the row is stored', () => {
  const row = rowOf(of('total', -Number.MAX_VALUE, Number.MAX_VALUE))
  expect(row.get('total_last')).toBe(Number.MAX_VALUE)
  expect(row.has('total_increase')).toBe(false)
})

test.each([
  ['current', 5, 7],
  ['running', false, true],
  ['mode', 'idle', 'on'],
] as const)('of %s at equal times the larger counts, whichever comes first', (field, less, more) => {
  const last = (...values: readonly (number | boolean | string)[]) =>
    rowOf(...values.map((value) => [{ timeMs: T, values: { [field]: value } }])).get(`${field}_last`)
  const inOne = rowOf([less, more, less].map((value) => ({ timeMs: T, values: { [field]: value } })))
  expect([last(less, more), last(more, less), inOne.get(`${field}_last`)]).toEqual([more, more, more])
})

test('a row of an hour says which of the day it is, in UTC, as one that is recomputed does', async () => {
  const context = contextOf([plant])
  const state = stateFor(context)
  const effects = createEffects()
  const startMs = T + 29 * 3_600_000
  const samples = [{ timeMs: startMs + 60_000, values: { current: 3 } }]
  const plan = { sequence: 1, completeThroughMs: startMs + 3_600_000, blocks: [blockOf('d', 'plant', samples)] }
  step(state, intakeOf(batchOf(plan)), context, effects)
  const written = [effects.lines, effects.rollups].flatMap((of) =>
    Array.from({ length: of.count }, (_, n) => of.line(n).toString('utf8').trimEnd()),
  )
  const now = createModelStore()
  for (const line of written) now.write(line)
  const hours = ['10s', '1m', '15m', '1h'].map((width) =>
    [...(now.series.get(`plant_${width},device=d,site=workshop`)?.values() ?? [])].map((row) => row.get('hour')),
  )
  expect(hours).toEqual([[undefined], [undefined], [undefined], [5]])

  // Rows from before they said it are told again; afterwards nothing differs.
  const store = createModelStore()
  for (const line of written) store.write(line.replace(',hour=5i', ''))
  const window = { site: 'workshop', device: 'd', kind: 'plant', widthMs: 3_600_000, startMs }
  const ask = () =>
    recompute(store.query, new Map([['plant', plant]]), [window], new AbortController().signal).then(([one]) => one)
  const one = await ask()
  const lines = new LineBuffer()
  if (one?.row === undefined || one.windows === undefined) throw new Error('it was kept')
  const prefix = linePrefix('plant_1h', { site: 'workshop', device: 'd' })
  writeRow(lines, prefix, one.series.layout.windowKeys, fieldKey('revision'), one.row, one.windows)
  store.write(lines.line(0).toString().trimEnd())
  expect(store.series.get('plant_1h,device=d,site=workshop')?.get(startMs)?.get('hour')).toBe(5)
  expect((await ask())?.row).toBeUndefined()
})

test('percentiles that were of a part of the readings are told to be of all, once they are', async () => {
  const store = createModelStore()
  for (const [i, value] of [3, 4].entries()) store.write(`plant,device=d,site=workshop current=${value} ${T + i}`)
  store.write(`plant_10s,device=d,site=workshop current_mean=3.5,current_count=2i,current_sketched=1i,revision=4i ${T}`)
  const window = { site: 'workshop', device: 'd', kind: 'plant', widthMs: 10_000, startMs: T }
  const ask = () =>
    recompute(store.query, new Map([['plant', plant]]), [window], new AbortController().signal).then(([one]) => one)
  const one = await ask()
  const lines = new LineBuffer()
  if (one?.row === undefined || one.windows === undefined) throw new Error('it was kept')
  const prefix = linePrefix('plant_10s', { site: 'workshop', device: 'd' })
  writeRow(lines, prefix, one.series.layout.windowKeys, fieldKey('revision'), one.row, one.windows)
  store.write(lines.line(0).toString().trimEnd())
  const row = store.series.get('plant_10s,device=d,site=workshop')?.get(T)
  expect([row?.get('current_sketched'), row?.get('revision')]).toEqual([2, 5])
  expect((await ask())?.row).toBeUndefined()
})
