import { type Contract, contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { adoptContracts } from './adopt-contracts.ts'
import { createEffects } from './effects.ts'
import { PackedWriter } from './packed-values.ts'
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
