import { contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { normal, seededRandom } from './detectors/simulated-series.ts'
import { createEffects, type Effects } from './effects.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { texts } from './step-harness.ts'
import { batchOf, blockOf, contextOf, intakeOf, mixedContract, registryOf, stateFor } from './testing.ts'

const T = 1_767_225_600_000
const contract = contractSchema.parse({
  kind: 'boiler',
  version: 1,
  description: 'A boiler.',
  interval: '1s',
  fields: {
    pressure_bar: { type: 'float', label: 'Pressure', decimals: 1 },
    temperature_c: { type: 'float', label: 'Temperature', decimals: 1 },
    humidity_percent: { type: 'float', label: 'Humidity' },
  },
  detectors: { outlier: { pressure_bar: 'lite', temperature_c: 'full' } },
})

/** A boiler whose noise is a function of the second. */
const samplesFrom = (fromS: number, toS: number) =>
  Array.from({ length: toS - fromS }, (_, i) => {
    const random = seededRandom(fromS + i)
    const values = {
      pressure_bar: 5 + 0.2 * normal(random),
      temperature_c: 60 + 0.5 * normal(random),
      humidity_percent: 3,
    }
    return { timeMs: T + (fromS + i) * 1_000, values }
  })

function partition(context = contextOf([contract])) {
  let state = stateFor(context)
  let readingsBefore = 0
  let sequence = 0
  const give = (fromS: number, toS: number, { lane = 'live' as 'live' | 'backlog', kind = 'boiler' } = {}) => {
    sequence += 1
    const blocks = [blockOf('b-1', kind, samplesFrom(fromS, toS))]
    const batch = batchOf({ sequence, readingsBefore, lane, completeThroughMs: T + toS * 1_000, blocks })
    readingsBefore = batch.header.readingsTotal
    const effects = createEffects()
    step(state, intakeOf(batch, { receivedAtMs: T + toS * 1_000 }), context, effects)
    return effects
  }
  return {
    give,
    save: () => encodeState(state),
    load: (bytes: Uint8Array) => {
      state = decodeState(bytes, context.contracts)
    },
  }
}
const expected = (effects: Effects) =>
  texts(effects)
    .rollups.filter((line) => line.startsWith('boiler_expected,'))
    .map((line) => {
      const [, tags = '', fields = '', time = ''] = /^boiler_expected,(\S+) (\S+) (\d+)$/.exec(line) ?? []
      return {
        tags,
        atS: (Number(time) - T) / 1_000,
        fields: new Map(fields.split(',').map((one) => one.split('=') as [string, string])),
      }
    })

test('one line a minute of a device that lives, of the fields that have a learned detector, once they have learned', () => {
  const p = partition()
  const all = Array.from({ length: 600 }, (_, i) => expected(p.give(i, i + 1))).flat()
  expect(all.map(({ atS }) => atS)).toEqual([60, 120, 180, 240, 300, 360, 420, 480, 540])
  expect(new Set(all.map(({ tags }) => tags))).toEqual(new Set(['device=b-1,site=workshop']))
  const lite = ['pressure_bar_lower', 'pressure_bar_upper']
  expect(all.map(({ fields }) => [...fields.keys()].join())).toEqual([
    ...Array.from({ length: 3 }, () => lite.join()),
    ...Array.from({ length: 6 }, () => [...lite, 'temperature_c_lower', 'temperature_c_upper'].join()),
  ])
  for (const { atS, fields } of all)
    for (const { values } of samplesFrom(atS, atS + 60))
      for (const [field, value] of Object.entries(values)) {
        const [lower, upper] = ['lower', 'upper'].map((end) => fields.get(`${field}_${end}`))
        if (lower === undefined) continue
        expect(value).toBeGreaterThan(Number(lower))
        expect(value).toBeLessThan(Number(upper))
        expect(lower).toMatch(/^-?\d+(\.\d{1,2})?$/)
      }
})

test('a batch of several minutes tells of the newest; a backlog, what is older, and a device that stands elsewhere of none', () => {
  const p = partition()
  expect(expected(p.give(0, 300))).toEqual([])
  expect(expected(p.give(300, 500)).map(({ atS }) => atS)).toEqual([480])
  expect(expected(p.give(900, 960, { lane: 'backlog' }))).toEqual([])
  expect(expected(p.give(600, 700))).toEqual([])
  expect(expected(p.give(960, 961)).map(({ atS }) => atS)).toEqual([960])
  const moved = registryOf({ 'b-1': [{ site: 'hall' }, { site: 'annex', fromMs: T + 400_000 }] })
  const elsewhere = partition(contextOf([contract], { registry: moved }))
  elsewhere.give(0, 399)
  const lines = expected(elsewhere.give(399, 700))
  expect(lines.map(({ tags }) => tags)).toEqual([])
})

test('a kind without learned detectors has no such measurement', () => {
  const p = partition(contextOf([mixedContract]))
  p.give(0, 300, { kind: 'mixed' })
  expect(texts(p.give(300, 400, { kind: 'mixed' })).rollups.filter((line) => line.includes('_expected'))).toEqual([])
})

test('processed again from a checkpoint the same lines come, in the midst of a minute, too', () => {
  const p = partition()
  for (let i = 0; i < 290; i++) p.give(i, i + 1)
  const checkpoint = p.save()
  const run = () => {
    const q = partition()
    q.load(checkpoint)
    // Sequences begin anew here; the state knows 290 of them.
    for (let i = 0; i < 290; i++) q.give(0, 1)
    return Array.from({ length: 100 }, (_, i) => texts(q.give(290 + i, 291 + i)))
  }
  const once = run()
  expect(once.flatMap(({ rollups }) => rollups.filter((line) => line.startsWith('boiler_expected')))).toHaveLength(2)
  expect(run()).toEqual(once)
})
