import { type Contract, contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { clearEffects, createEffects } from './effects.ts'
import { EXTRA_FIELDS_MAX } from './shape.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { batchOf, blockOf, contextOf, intakeOf, readingsOf, type SampleValues, stateFor } from './testing.ts'

const T = 1_767_225_600_000

const boilerWith = (policy: object): Contract =>
  contractSchema.parse({
    kind: 'boiler',
    version: 1,
    description: 'A boiler.',
    interval: '1s',
    policy,
    fields: {
      temperature_c: { type: 'float', label: 'Temperature', range: [0, 100], largest_step: 50, required: true },
      starts: { type: 'integer', label: 'Starts' },
      burning: { type: 'boolean', label: 'Burning' },
      state: { type: 'string', label: 'State', values: ['cold', 'hot'] },
    },
  })

/** A partition that judges by this policy; its state goes through a checkpoint before each batch. */
function boiler(policy: object) {
  const context = contextOf([boilerWith(policy)])
  let state = stateFor(context)
  const effects = createEffects()
  let sequence = 0
  let readingsBefore = 0
  return {
    get state() {
      return state
    },
    /** Samples a second apart unless they say when. @returns what each sample's line has, reasons of letters, told drift */
    give(...values: (SampleValues['values'] & { atMs?: number })[]) {
      clearEffects(effects)
      state = decodeState(encodeState(state), context.contracts)
      const samples = values.map(({ atMs, ...rest }, i) => ({
        timeMs: T + sequence * 100_000 + (atMs ?? i * 1000),
        values: rest as SampleValues['values'],
      }))
      const blocks = [blockOf('b-1', 'boiler', samples)]
      sequence += 1
      step(state, intakeOf(batchOf({ sequence, readingsBefore, blocks })), context, effects)
      readingsBefore += readingsOf(blocks)
      const lines = Array.from({ length: effects.lines.count }, (_, i) => effects.lines.line(i).toString().trimEnd())
      const [row] = accountOf(state, 0, 60_000)
      expect(row?.produced).toBe((row?.stored ?? 0) + (row?.deadLettered ?? 0) + (row?.shed ?? 0))
      return {
        lines: lines.filter((line) => line.startsWith('boiler,')).map((line) => line.split(' ').slice(1, -1).join(' ')),
        letters: effects.deadLetters.map(({ field, reason, readingCount }) => `${field} ${reason} ${readingCount}`),
        drifts: effects.drifts.map(({ change, field }) => `${change} ${field}`),
      }
    },
  }
}

describe('range and list', () => {
  const wild = [
    { temperature_c: 20, state: 'hot' },
    { temperature_c: 999, state: 'warm' },
  ]
  test('refused by default', () => {
    const { lines, letters } = boiler({}).give(...wild)
    expect(lines).toEqual(['temperature_c=20,state="hot"'])
    expect(letters).toEqual(['temperature_c out_of_range 1', 'state not_in_list 1'])
  })
  test('flag: stored and marked, in windows, too, and counted', () => {
    const b = boiler({ range: 'flag' })
    const { lines, letters } = b.give(...wild)
    expect(lines[1]).toBe(
      'temperature_c=999,state="warm",contract_flags="temperature_c:out_of_range state:not_in_list"',
    )
    expect(letters).toEqual([])
    expect(b.state.contracts.flagged).toEqual({ out_of_range: 1, not_in_list: 1 })
  })
  test('pass: stored as if nothing were', () => {
    const b = boiler({ range: 'pass', step: 'pass' })
    expect(b.give(...wild).lines[1]).toBe('temperature_c=999,state="warm"')
    expect(b.state.contracts.flagged).toEqual({})
  })
  test('what no store can hold is refused whatever the policy', () => {
    const lax = boiler({ type: 'pass', range: 'pass', step: 'pass' })
    expect(lax.give({ temperature_c: Number.NaN, starts: 1.5 }, { temperature_c: 1 }).letters).toEqual([
      'temperature_c not_finite 1',
      'starts wrong_type 1',
    ])
  })
})

test('a step is refused, marked or passed over', () => {
  const jump = [{ temperature_c: 1 }, { temperature_c: 90 }]
  expect(boiler({}).give(...jump).letters).toEqual(['temperature_c step_too_large 1'])
  expect(boiler({ step: 'flag' }).give(...jump).lines[1]).toContain('contract_flags="temperature_c:step_too_large"')
  expect(boiler({ step: 'pass' }).give(...jump).lines[1]).toBe('temperature_c=90')
})

describe('type', () => {
  const other = [
    { temperature_c: '21.5', starts: true, burning: 1, state: 'hot' },
    { temperature_c: 'n/a', starts: '7', burning: 'FALSE', state: 'hot' },
    { temperature_c: 20, starts: '7.5', burning: 2, state: 'hot' },
  ]
  test('refused by default', () => {
    const { lines } = boiler({ missing_field: 'pass' }).give(...other)
    expect(lines).toEqual(['state="hot"', 'state="hot"', 'state="hot",temperature_c=20'])
  })
  test('pass: taken where nothing is lost by it, else refused', () => {
    const { lines, letters } = boiler({ type: 'pass', missing_field: 'pass' }).give(...other)
    expect(lines.map((line) => line.split(',').sort().join(','))).toEqual([
      'burning=t,starts=1i,state="hot",temperature_c=21.5',
      'burning=f,starts=7i,state="hot"',
      'state="hot",temperature_c=20',
    ])
    expect(letters.sort()).toEqual(['burning wrong_type 1', 'starts wrong_type 1', 'temperature_c wrong_type 1'])
  })
  test('flag: and marked', () => {
    const { lines } = boiler({ type: 'flag', missing_field: 'pass' }).give({ temperature_c: '21.5' })
    expect(lines).toEqual(['temperature_c=21.5,contract_flags="temperature_c:wrong_type"'])
  })
})

test('what is refused for one reason is not marked, nor counted as marked, for another', () => {
  const b = boiler({ type: 'flag', unknown_field: 'flag', missing_field: 'pass' })
  const many = Object.fromEntries(Array.from({ length: EXTRA_FIELDS_MAX + 2 }, (_, i) => [`extra${i}x`, i]))
  const { lines, letters } = b.give({ temperature_c: '999', starts: 1, ...many })
  expect(lines[0]).not.toContain('temperature_c')
  expect(lines[0]).not.toContain(`extra${EXTRA_FIELDS_MAX}x`)
  expect(letters).toHaveLength(3)
  expect(b.state.contracts.flagged).toEqual({ unknown_field: EXTRA_FIELDS_MAX })
})

describe('unknown fields and other units', () => {
  const strange = [{ temperature_c: 1, temperature_f: 33.8, colour: 'red' }]
  test('refused by default, each with its reason', () => {
    expect(boiler({}).give(...strange).letters).toEqual(['temperature_f wrong_unit 1', 'colour unknown_field 1'])
  })
  test('flag and pass: stored under their own names, as they came', () => {
    expect(boiler({ unknown_field: 'pass', unit: 'flag' }).give(...strange).lines).toEqual([
      'temperature_c=1,temperature_f=33.8,colour="red",contract_flags="temperature_f:wrong_unit"',
    ])
    expect(boiler({ unknown_field: 'flag' }).give(...strange)).toMatchObject({
      lines: ['temperature_c=1,colour="red",contract_flags="colour:unknown_field"'],
      letters: ['temperature_f wrong_unit 1'],
    })
  })
  test('a type that changes would be refused by the store: it is refused here, also after a restart', () => {
    const b = boiler({ unknown_field: 'pass' })
    b.give(...strange)
    const { lines, letters, drifts } = b.give({ temperature_c: 1, colour: 7 }, { temperature_c: 1, colour: 'blue' })
    expect(lines).toEqual(['temperature_c=1', 'temperature_c=1,colour="blue"'])
    expect(letters).toEqual(['colour wrong_type 1'])
    expect(drifts).toEqual(['changed_type colour'])
  })
  test('their number is bounded', () => {
    const b = boiler({ unknown_field: 'pass' })
    const many = Object.fromEntries(Array.from({ length: EXTRA_FIELDS_MAX + 3 }, (_, i) => [`extra${i}x`, i]))
    expect(b.give({ temperature_c: 1, ...many }).letters).toHaveLength(3)
    expect(b.state.contracts).toMatchObject({ driftCount: EXTRA_FIELDS_MAX, fieldsBeyond: 3 })
  })
})

describe('missing fields', () => {
  const gappy = [
    { starts: 1, burning: true },
    { temperature_c: 5, starts: 2 },
  ]
  test('flag is the default', () => {
    expect(boiler({}).give(...gappy).lines).toEqual([
      'starts=1i,burning=t,contract_flags="temperature_c:missing_field"',
      'starts=2i,temperature_c=5',
    ])
  })
  test('reject refuses the whole sample', () => {
    const { lines, letters } = boiler({ missing_field: 'reject' }).give(...gappy)
    expect(lines).toEqual(['starts=2i,temperature_c=5'])
    expect(letters.sort()).toEqual(['burning missing_field 1', 'starts missing_field 1'])
  })
})

describe('interval', () => {
  const flood = [0, 100, 1000, 1200, 9000].map((atMs) => ({ temperature_c: 1, atMs }))
  test('nobody looks by default', () => {
    expect(boiler({}).give(...flood).lines).toHaveLength(5)
  })
  test('reject: what comes too soon is refused, what comes too late is marked', () => {
    const { lines, letters } = boiler({ interval: 'reject' }).give(...flood)
    expect(lines).toEqual(['temperature_c=1', 'temperature_c=1', 'temperature_c=1,contract_flags="too_late"'])
    expect(letters).toEqual(['temperature_c too_soon 2'])
  })
  test('flag: both are stored and marked', () => {
    const b = boiler({ interval: 'flag' })
    expect(b.give(...flood).lines.map((line) => /flags="(.*)"/.exec(line)?.[1] ?? '')).toEqual([
      '',
      'too_soon',
      '',
      'too_soon',
      'too_late',
    ])
  })
})

describe('drift', () => {
  const healthy = { temperature_c: 1, starts: 1 }
  test('is told once a device, field and change, over restarts', () => {
    const b = boiler({})
    expect(b.give(healthy).drifts).toEqual([])
    expect(b.give({ ...healthy, starts: 'many', colour: 'red' }).drifts).toEqual([
      'changed_type starts',
      'new_field colour',
    ])
    expect(b.give({ ...healthy, starts: 'many', colour: 'red' }).drifts).toEqual([])
    expect(b.state.contracts.drifts.map(({ message }) => message)).toEqual([
      'starts of b-1 came as string; the contract says integer',
      'colour of b-1 is new, as string; the contract of boiler has no such field',
    ])
  })
  test('a field that came and does not come any more has vanished; one that comes seldom has not', () => {
    const b = boiler({})
    const told: string[] = []
    for (let i = 0; i < 400; i++) {
      const burning = i % 30 === 0
      const starts = i < 50
      const { drifts } = b.give({
        temperature_c: 1,
        ...(burning ? { burning: true } : {}),
        ...(starts ? { starts: 1 } : {}),
      })
      told.push(...drifts.map((drift) => `${i} ${drift}`))
    }
    expect(told).toEqual(['150 vanished_field starts'])
  })
})
