import { expect, test } from 'vitest'
import type { DeviceBlock, FieldColumn } from './batch.ts'
import { contractSchema } from './contract.ts'
import { checkBlock } from './contract-check.ts'

const contract = contractSchema.parse({
  kind: 'boiler',
  version: 1,
  description: 'A boiler.',
  interval: '1s',
  fields: {
    temperature_c: { type: 'float', label: 'Temperature', unit: '°C', range: [0, 200], required: true },
    pressure_bar: { type: 'float', label: 'Pressure', unit: 'bar', largest_step: 1 },
    anything: { type: 'float', label: 'Anything' },
    starts: { type: 'integer', label: 'Starts' },
    burning: { type: 'boolean', label: 'Burning' },
    state: { type: 'string', label: 'State', values: ['cold', 'hot'] },
    note: { type: 'string', label: 'Note' },
  },
})

const numbers = (field: string, values: number[], present: number[] | null = null): FieldColumn => ({
  field,
  type: 'number',
  values: Float64Array.from(values),
  present: present && Uint8Array.from(present),
})
const booleans = (field: string, values: number[]): FieldColumn => ({
  field,
  type: 'boolean',
  values: Uint8Array.from(values),
  present: null,
})
const strings = (field: string, values: string[]): FieldColumn => ({ field, type: 'string', values, present: null })

const block = (...columns: FieldColumn[]): DeviceBlock => ({
  device: 'boiler-1',
  kind: 'boiler',
  timesMs: Float64Array.from({ length: columns[0]?.values.length ?? 0 }, (_, i) => i * 1000),
  columns,
})
const temperature = (length: number) => numbers('temperature_c', new Array(length).fill(20))

/** Reason and samples of the violations of one column beside a healthy temperature. */
const check = (column: FieldColumn, previous?: number) =>
  checkBlock(contract, block(temperature(column.values.length), column), () => previous).map((v) => [
    v.reason,
    v.samples,
  ])

test('a block that keeps its contract has no violations', () => {
  const healthy = block(
    numbers('temperature_c', [0, 200, 20.5]),
    numbers('pressure_bar', [1, 2, 1.5]),
    numbers('anything', [-1e300, 0, 1e300]),
    numbers('starts', [-5, 0, Number.MAX_SAFE_INTEGER]),
    booleans('burning', [0, 1, 1]),
    strings('state', ['cold', 'hot', 'hot']),
    strings('note', ['', 'anything', '…']),
  )
  expect(checkBlock(contract, healthy, () => undefined)).toEqual([])
})

test('a value out of range is refused alone, and said with its unit', () => {
  const [violation, ...more] = checkBlock(contract, block(numbers('temperature_c', [20, 300, 21, -1])), () => undefined)
  expect(violation).toEqual({
    field: 'temperature_c',
    reason: 'out_of_range',
    samples: [1, 3],
    detail: 'temperature_c: 300 °C is not within 0 to 200 °C (2 readings)',
  })
  expect(more).toEqual([])
})

test('what is no number is not_finite, with or without a range', () => {
  for (const field of ['temperature_c', 'anything', 'starts'])
    expect(
      checkBlock(contract, block(temperature(3), numbers(field, [Number.NaN, 1, Infinity])), () => undefined).map(
        (v) => [v.reason, v.samples],
      ),
    ).toEqual([['not_finite', [0, 2]]])
})

test('an integer field takes whole numbers below 2^53 only', () => {
  expect(check(numbers('starts', [1, 1.5, 2, 2 ** 53, -(2 ** 60)]))).toEqual([['wrong_type', [1, 3, 4]]])
})

test('an integer beyond 2^53 is refused whatever its range, and whatever stands beside it', () => {
  const wide = contractSchema.parse({
    kind: 'meter',
    version: 1,
    description: 'A meter.',
    interval: '1s',
    fields: { pulses: { type: 'integer', label: 'Pulses', range: [0, 1e18] } },
  })
  const reasonsOf = (...values: number[]) =>
    checkBlock(wide, { ...block(numbers('pulses', values)), kind: 'meter' }, () => undefined).map((v) => v.samples)
  expect(reasonsOf(2 ** 55)).toEqual([[0]])
  expect(reasonsOf(2 ** 55, 1.5)).toEqual([[0, 1]])
})

test('one column can break its contract in several ways', () => {
  const values = [20, Number.NaN, 999, 21]
  const reasons = checkBlock(contract, block(numbers('temperature_c', values)), () => undefined).map((v) => v.reason)
  expect(reasons).toEqual(['not_finite', 'out_of_range'])
})

test('a field that the contract does not have is refused, whatever it is called', () => {
  for (const field of ['temperature', 'constructor', '__proto__', 'toString'])
    expect(check(numbers(field, [1, 2]))).toEqual([['unknown_field', [0, 1]]])
})

test('each type is refused where another is due', () => {
  expect(check(booleans('starts', [0, 1]))).toEqual([['wrong_type', [0, 1]]])
  expect(check(strings('anything', ['21.5']))).toEqual([['wrong_type', [0]]])
  expect(check(numbers('burning', [1]))).toEqual([['wrong_type', [0]]])
  expect(check(numbers('state', [1]))).toEqual([['wrong_type', [0]]])
  expect(check(booleans('note', [1]))).toEqual([['wrong_type', [0]]])
})

test('a string must be in its list', () => {
  expect(check(strings('state', ['hot', 'warm', 'cold', '']))).toEqual([['not_in_list', [1, 3]]])
})

test('only present samples are looked at', () => {
  expect(check(numbers('starts', [1, 0.5, 2], [1, 0, 1]))).toEqual([])
  expect(check(numbers('starts', [1, 0.5, 2.5], [1, 0, 1]))).toEqual([['wrong_type', [2]]])
})

test('a column beside another of the same field is judged by its own type', () => {
  const mixed = block(numbers('temperature_c', [20, 0], [1, 0]), {
    field: 'temperature_c',
    type: 'string',
    values: ['', 'n/a'],
    present: Uint8Array.of(0, 1),
  })
  expect(checkBlock(contract, mixed, () => undefined).map((v) => [v.reason, v.samples])).toEqual([['wrong_type', [1]]])
})

test('a spike costs two readings, a level shift one: a step never shuts a series out', () => {
  expect(check(numbers('pressure_bar', [1, 9, 1, 1]))).toEqual([['step_too_large', [1, 2]]])
  expect(check(numbers('pressure_bar', [1, 9, 9, 9]))).toEqual([['step_too_large', [1]]])
})

test('a step is measured from the block before, across missing samples, and not from refused nonsense', () => {
  expect(check(numbers('pressure_bar', [5]), 4.5)).toEqual([])
  expect(check(numbers('pressure_bar', [5]), 3)).toEqual([['step_too_large', [0]]])
  expect(check(numbers('pressure_bar', [5]))).toEqual([])
  expect(check(numbers('pressure_bar', [1, 0, 5], [1, 0, 1]))).toEqual([['step_too_large', [2]]])
  expect(check(numbers('pressure_bar', [1, Number.NaN, 1.5]))).toEqual([['not_finite', [1]]])
})

test('a required field that samples lack is reported once a block', () => {
  const missing = (column: FieldColumn) => checkBlock(contract, block(column), () => undefined)
  expect(missing(numbers('temperature_c', [20, 0, 20], [1, 0, 1]))).toEqual([
    { field: 'temperature_c', reason: 'missing_field', detail: '1 of 3 samples lack it', samples: [1] },
  ])
  expect(missing(numbers('starts', [1, 2])).map((v) => [v.reason, v.samples])).toEqual([['missing_field', [0, 1]]])
})

const withPolicy = (policy: object, fields: object = {}) =>
  contractSchema.parse({
    kind: 'boiler',
    version: 1,
    description: 'A boiler.',
    interval: '1s',
    policy,
    fields: {
      temperature_c: { type: 'float', label: 'Temperature', range: [0, 200], largest_step: 10, required: true },
      state: { type: 'string', label: 'State', values: ['cold', 'hot'] },
      starts: { type: 'integer', label: 'Starts', range: [0, 10] },
      ...fields,
    },
  })

test('a field that differs from one of the contract in its unit alone was measured in another unit', () => {
  const reasonOf = (field: string) => checkBlock(contract, block(temperature(1), numbers(field, [1])), () => undefined)
  expect(reasonOf('temperature_f')).toMatchObject([
    { reason: 'wrong_unit', detail: 'temperature_f: the contract of boiler has temperature_c (1 reading)' },
  ])
  expect(reasonOf('pressure_psi')).toMatchObject([{ reason: 'wrong_unit' }])
  expect(reasonOf('temperature_outside')).toMatchObject([{ reason: 'unknown_field' }])
  expect(reasonOf('flow_l_min')).toMatchObject([{ reason: 'unknown_field' }])
})

test('checks that are passed over are not made, but what no store could hold is found all the same', () => {
  const passing = withPolicy({ range: 'pass', step: 'pass', missing_field: 'pass' })
  const wild = block(
    numbers('temperature_c', [1, 5000, Number.NaN], [1, 1, 1]),
    numbers('starts', [1000, 1.5, 2 ** 60]),
    strings('state', ['warm', 'warm', 'warm']),
  )
  expect(checkBlock(passing, wild, () => 0).map((v) => [v.field, v.reason, v.samples])).toEqual([
    ['temperature_c', 'not_finite', [2]],
    ['starts', 'wrong_type', [1, 2]],
  ])
  expect(checkBlock(passing, block(numbers('starts', [1])), () => 0)).toEqual([])
})

test('what is said of a sensitive field never tells its value', () => {
  const secret = 4711.25
  const sensitive = withPolicy(
    {},
    {
      pin: { type: 'integer', label: 'PIN', range: [0, 9], sensitivity: 'mask' },
      badge: { type: 'string', label: 'Badge', values: ['none'], sensitivity: 'hash' },
      owner: { type: 'boolean', label: 'Owner', sensitivity: 'hash' },
      gone: { type: 'float', label: 'Gone', range: [0, 1], sensitivity: 'drop' },
    },
  )
  const found = checkBlock(
    sensitive,
    block(
      temperature(3),
      numbers('pin', [secret, 4711, Number.NaN]),
      strings('badge', ['s3cr3t', '', '']),
      strings('owner', ['s3cr3t', '', '']),
      numbers('gone', [4711, 4711, 4711]),
    ),
    () => undefined,
  )
  expect(found.map((v) => `${v.field} ${v.reason}`)).toEqual([
    'pin not_finite',
    'pin wrong_type',
    'pin out_of_range',
    'badge not_in_list',
    'owner wrong_type',
  ])
  expect(JSON.stringify(found)).not.toMatch(/4711|s3cr3t/)
})
