import { type Contract, contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { adoptContracts } from './adopt-contracts.ts'
import { clearEffects, createEffects } from './effects.ts'
import { createModelStore } from './model-store-harness.ts'
import { enqueueFor, settle } from './notifiers/index.ts'
import { PackedWriter } from './packed-values.ts'
import { recompute } from './recompute.ts'
import { createRepairList } from './repair-list.ts'
import { allSeries, type PartitionState } from './state.ts'
import { encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { batchOf, blockOf, contextOf, intakeOf, stateFor } from './testing.ts'

const T = 1_767_225_600_000
const kind = (name: string, fields: object): Contract =>
  contractSchema.parse({ kind: name, version: 1, description: name, interval: '1s', fields })
const number = { type: 'float', label: 'Number' }
const text = { type: 'string', label: 'Text' }
const BEFORE = [
  kind('door', { badge: text, pin: number, opened: number, left: number }),
  kind('gate', { opened: number }),
  kind('same', { opened: number }),
]
const SECRET = 'B-4711'

/** A minute of three kinds under the old contracts, its windows still open, and what is made of it under others. */
function adopted(next: Contract[]) {
  const before = contextOf(BEFORE)
  const state = stateFor(before)
  const values = { badge: SECRET, pin: 4711.5, opened: 3, left: 1, colour: 'red' }
  const block = (name: string, of: Record<string, number | string>) =>
    blockOf('d-1', name, [
      { timeMs: T, values: of },
      { timeMs: T + 1_000, values: of },
    ])
  const blocks = [block('door', values), block('gate', { opened: 1 }), block('same', { opened: 1 })]
  step(state, intakeOf(batchOf({ sequence: 1, blocks })), before, createEffects())
  const effects = createEffects()
  const after = contextOf(next, { contractsVersion: 'next', contractsSource: '[]' })
  const result = adoptContracts(state, after, effects)
  const lines = Array.from({ length: effects.rollups.count }, (_, i) => effects.rollups.line(i).toString().trimEnd())
  return { state: result, lines, after }
}
const seriesOf = (state: PartitionState, name: string) =>
  [...allSeries(state)].find(({ contract }) => contract.kind === name)

test('windows of kinds that change or go are written as they stand; those of others wait', () => {
  const { state, lines } = adopted([
    kind('door', { badge: text, pin: number, opened: { ...number, range: [0, 5] }, left: number }),
    kind('same', { opened: number }),
  ])
  expect(lines.map((line) => line.split(',')[0])).toEqual(
    ['door', 'gate'].flatMap((name) => ['10s', '1m', '15m', '1h'].map((width) => `${name}_${width}`)),
  )
  expect(state.contracts).toMatchObject({ version: 'next', source: '[]' })
  expect(seriesOf(state, 'gate')).toBeUndefined()
  const [row] = seriesOf(state, 'door')?.windows?.[0]?.rows.values() ?? []
  expect(row).toMatchObject({ revision: 1, closed: false })
  const [waiting] = seriesOf(state, 'same')?.windows?.[0]?.rows.values() ?? []
  expect(waiting).toMatchObject({ revision: 0, changed: true })
})

test('what was remembered of a field that is sensitive now is forgotten', () => {
  const clear = adopted(BEFORE)
  expect(Buffer.from(encodeState(clear.state)).includes(SECRET)).toBe(true)
  const packed = new PackedWriter()
  packed.number(4711.5)
  const bytesOf4711 = Buffer.from(packed.finish())
  expect(Buffer.from(encodeState(clear.state)).includes(bytesOf4711)).toBe(true)
  const { state } = adopted([
    kind('door', {
      badge: { ...text, sensitivity: 'hash' },
      pin: { ...number, sensitivity: 'mask' },
      opened: number,
      left: number,
    }),
  ])
  const bytes = Buffer.from(encodeState(state))
  expect(bytes.includes(SECRET)).toBe(false)
  expect(bytes.includes(bytesOf4711)).toBe(false)
  expect(bytes.includes('4711')).toBe(false)
})

test('windows go on: later readings of the same window are merged with what was there', () => {
  const { state, after } = adopted([
    kind('door', { badge: text, pin: number, opened: { ...number, range: [0, 9] }, colour: text }),
  ])
  expect([...(seriesOf(state, 'door')?.shape.extras.keys() ?? [])]).toEqual([])
  const effects = createEffects()
  const blocks = [blockOf('d-1', 'door', [{ timeMs: T + 2_000, values: { opened: 6, colour: 'blue' } }])]
  step(
    state,
    intakeOf(batchOf({ sequence: 2, readingsBefore: 14, completeThroughMs: T + 10_000, blocks })),
    after,
    effects,
  )
  const [line] = Array.from({ length: effects.rollups.count }, (_, i) => effects.rollups.line(i).toString())
  expect(line).toMatch(
    /^door_10s.*opened_mean=4,opened_min=3,opened_max=6,opened_count=3i.*colour_last="blue",revision=1i/,
  )
})

test.each([
  ['becomes a counter', {}, ['10s', '1m', '15m']],
  ['is a counter, and the narrowest windows go', { role: 'counter' }, ['1m', '15m']],
  ['is a counter, and there are other wide windows', { role: 'counter' }, ['10s', '5m', '15m']],
])('a field %s while windows are open: in the end they count what was counted', async (_, before, widths) => {
  const meter = (role: object, windows: readonly string[]): Contract =>
    contractSchema.parse({
      ...{ kind: 'meter', version: 1, description: 'A meter.', interval: '1s', windows },
      fields: { total: { type: 'integer', label: 'Total', ...role } },
    })
  let context = contextOf([meter(before, ['10s', '1m', '15m'])])
  let state = stateFor(context)
  const effects = createEffects()
  const store = createModelStore()
  let nowMs = 0
  let sequence = 0
  const list = createRepairList(0, () => nowMs)
  const write = () => {
    for (const lines of [effects.lines, effects.rollups])
      for (let i = 0; i < lines.count; i++) store.write(lines.line(i).toString('utf8').trimEnd())
    clearEffects(effects)
  }
  const give = (throughMs: number, ...readings: [seconds: number, total: number][]) => {
    sequence += 1
    const samples = readings.map(([seconds, total]) => ({ timeMs: T + seconds * 1_000, values: { total } }))
    const blocks = samples.length > 0 ? [blockOf('d-1', 'meter', samples)] : []
    step(state, intakeOf(batchOf({ sequence, completeThroughMs: throughMs, blocks })), context, effects)
    write()
  }
  give(T + 62_000, [5, 100], [15, 110], [61, 140])
  context = contextOf([meter({ role: 'counter' }, widths)], { contractsVersion: 'next' })
  state = adoptContracts(state, context, effects)
  write()
  give(T + 400_000, [130, 200], [320, 300])
  give(T + 7_200_000)
  for (let turn = 0; turn < 10 && state.dirty.size > 0; turn++) {
    nowMs += 1_000
    list.settle(state, effects, context.contracts)
    write()
    list.look(state, context.contracts)
    list.give(await recompute(store.query, list.contracts, list.due, new AbortController().signal))
  }
  expect(state.dirty.size).toBe(0)
  const counted = (width: string, seconds: number) =>
    store.series
      .get(`meter_${width},device=d-1,site=workshop`)
      ?.get(T + seconds * 1_000)
      ?.get('total_increase')
  const expected = {
    '10s': [
      [60, 30],
      [130, 60],
      [320, 100],
    ],
    '1m': [
      [60, 30],
      [120, 60],
      [300, 100],
    ],
    '5m': [
      [0, 100],
      [300, 100],
    ],
  }
  for (const [width, rows] of Object.entries(expected))
    if (widths.includes(width))
      for (const [seconds = 0, increase] of rows)
        expect([width, seconds, counted(width, seconds)]).toEqual([width, seconds, increase])
  expect(counted('15m', 0)).toBe(200)
})

test('an alert of before about a field that is sensitive now does not tell its value when it ends', () => {
  const watched = contractSchema.parse({
    ...kind('door', { pin: number }),
    interval: '1s',
    thresholds: [{ field: 'pin', above: 1 }],
  })
  const before = contextOf([watched], { receivers: ['hook'] })
  const state = stateFor(before)
  const effects = createEffects()
  const give = (of: PartitionState, context: typeof before, sequence: number, values: Record<string, number>) => {
    const blocks = [blockOf('d-1', 'door', [{ timeMs: T + sequence * 1_000, values }])]
    const completeThroughMs = T + sequence * 1_000 + 1
    clearEffects(effects)
    step(of, intakeOf(batchOf({ sequence, readingsBefore: sequence - 1, completeThroughMs, blocks })), context, effects)
    return effects.transitions.map(({ state: is, message, value }) => `${is} ${message} ${value}`).join()
  }
  expect(give(state, before, 1, { pin: 4711.5 })).toMatch(/^firing .*4711\.5/)
  const [told] = state.outbox.queues['hook'] ?? []
  settle(state.outbox, { receiver: 'hook', key: told?.key ?? '', outcome: 'delivered', stands: true })
  expect(JSON.stringify(state.outbox.standing)).toContain('4711')
  // It waits in a group, too, which is about no field.
  if (told === undefined) throw new Error('nobody was told')
  const { transition } = told
  const group = { ...transition, episode: 'group', kind: '', field: '', value: 1, upper: null, message: '1 alert' }
  const episodes = [{ ...transition, state: 'firing' as const, value: undefined }]
  const queued = { key: 'group/firing', transition: group, reason: 'group' as const, episodes }
  enqueueFor(state.outbox, 'hook', queued, { notificationsPerReceiverMax: 10 })
  const after = contextOf([kind('door', { pin: { ...number, sensitivity: 'mask' } })], { contractsVersion: 'next' })
  const adopted = adoptContracts(state, after, createEffects())
  expect(Buffer.from(encodeState(adopted)).includes('4711')).toBe(false)
  expect(give(adopted, after, 2, { pin: 1 })).toMatch(/^resolved over after 1 ms; it was: pin is sensitive now/)
})

test('what was said of fields that are watched together does not tell the values of one that is sensitive now', () => {
  const fields = { pin: number, opened: number }
  const watched = contractSchema.parse({
    ...{ ...kind('door', fields), interval: '1s' },
    detectors: { together: [['pin', 'opened']] },
  })
  const before = contextOf([watched], { receivers: ['hook'] })
  const state = stateFor(before)
  const effects = createEffects()
  const samples = Array.from({ length: 700 }, (_, s) => {
    const load = Math.sin(s / 40) + 0.01 * Math.sin(s * 7)
    return { timeMs: T + s * 1_000, values: { pin: 4711.5 + 9 * load, opened: 20 + 5 * load + (s > 600 ? 9 : 0) } }
  })
  const blocks = [blockOf('d-1', 'door', samples)]
  step(state, intakeOf(batchOf({ sequence: 1, completeThroughMs: T + 700_000, blocks })), before, effects)
  const saying = /4[67]\d\d\.\d\d\) lets expect|Number: 4[67]\d\d/
  const bytes = (of: PartitionState) => Buffer.from(encodeState(of)).toString('latin1')
  expect(effects.anomalies.map(({ field, component }) => [field, fields[component as 'pin']])).toEqual([['', number]])
  expect(bytes(state)).toMatch(saying)
  const [told] = state.outbox.queues['hook'] ?? []
  if (told === undefined) throw new Error('nobody was told')
  const { transition } = told
  const group = { ...transition, episode: 'group', kind: '', detector: '', value: 1, upper: null, message: '1 alert' }
  const episodes = [{ ...transition, state: 'firing' as const, detector: undefined }]
  const queued = { key: 'group/firing', transition: group, reason: 'group' as const, episodes }
  enqueueFor(state.outbox, 'hook', queued, { notificationsPerReceiverMax: 10 })
  const after = contextOf([kind('door', { ...fields, pin: { ...number, sensitivity: 'mask' } })])
  const adopted = adoptContracts(state, after, createEffects())
  expect(adopted.anomalies).toEqual([])
  expect(bytes(adopted)).not.toMatch(saying)
})
