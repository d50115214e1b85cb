import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import {
  type ContractField,
  contractSchema,
  outlierSizeOf,
  storedType,
  windowName,
  windowWidthsOf,
} from './contract.ts'

const boiler = {
  kind: 'boiler',
  version: 1,
  description: 'A boiler.',
  interval: '1s',
  fields: {
    temperature_c: { type: 'float', label: 'Temperature', unit: '°C', range: [0, 200] },
    burning: { type: 'boolean', label: 'Burning' },
    state: { type: 'string', label: 'State', values: ['cold', 'hot'] },
    sequence: { type: 'integer', label: 'Sample number', role: 'sequence' },
  },
}

const mistakes = (change: object): string[] => {
  const result = contractSchema.safeParse({ ...boiler, ...change })
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
}

test('defaults are filled in and durations become milliseconds', () => {
  const contract = contractSchema.parse({ ...boiler, interval: '1.5m' })
  expect(contract.interval).toBe(90_000)
  expect(contract.thresholds).toEqual([])
  expect(contract.detectors).toEqual({ outlier: [], flatline: {} })
  expect(contract.fields['temperature_c']).toMatchObject({ required: false, sensitivity: 'none', decimals: 2 })
  expect(contract.fields['sequence']).toMatchObject({ decimals: 0, unit: '' })
})

test('thresholds: above or below, of a field that exists, within its range, not of a string', () => {
  const of = (threshold: object) => mistakes({ thresholds: [threshold] })
  expect(of({ field: 'temperature_c', above: 90, hysteresis: 2, severity: 'critical' })).toEqual([])
  expect(of({ field: 'burning', above: 0.5 })).toEqual([])
  expect(of({ field: 'temperature_c' })).toEqual(['thresholds.0: give either "above" or "below"'])
  expect(of({ field: 'temperature_c', above: 1, below: 0 })).toEqual(['thresholds.0: give either "above" or "below"'])
  expect(of({ field: 'temperature_c', above: 250 })).toEqual([
    'thresholds.0.above: lies outside the range of temperature_c, 0 to 200, and can never be passed',
  ])
  expect(of({ field: 'pressure', above: 2 })).toEqual(['thresholds.0.field: the contract has no field "pressure"'])
  expect(of({ field: 'state', above: 2 })).toEqual([
    'thresholds.0.field: "state" is a string, and only numbers can be watched so',
  ])
  expect(of({ field: 'constructor', above: 2 })).toEqual([
    'thresholds.0.field: the contract has no field "constructor"',
  ])
})

test('detectors watch numbers that exist', () => {
  expect(
    mistakes({ detectors: { outlier: ['temperature_c'], flatline: { temperature_c: '30s' }, silence: '10s' } }),
  ).toEqual([])
  expect(mistakes({ detectors: { outlier: ['burning', 'nothing'], flatline: { state: '30s' } } })).toEqual([
    'detectors.outlier.0: "burning" is a boolean, and only numbers can be watched so',
    'detectors.outlier.1: the contract has no field "nothing"',
    'detectors.flatline.state: "state" is a string, and only numbers can be watched so',
  ])
})

test('the learned detector comes in two sizes: a list is lite, a map says which', () => {
  expect(mistakes({ detectors: { outlier: { temperature_c: 'full' } } })).toEqual([])
  expect(mistakes({ detectors: { outlier: { burning: 'lite' } } })).toEqual([
    'detectors.outlier.burning: "burning" is a boolean, and only numbers can be watched so',
  ])
  for (const outlier of [7, 'temperature_c', { temperature_c: 'huge' }])
    expect(mistakes({ detectors: { outlier } })).toEqual([
      'detectors.outlier: give a list of fields, or a map of fields to "lite" or "full"',
    ])
  const sizes = (outlier: unknown) => {
    const contract = contractSchema.parse({ ...boiler, detectors: { outlier } })
    return ['temperature_c', 'burning', 'constructor'].map((field) => outlierSizeOf(contract, field))
  }
  expect(sizes(['temperature_c'])).toEqual(['lite', undefined, undefined])
  expect(sizes({ temperature_c: 'full' })).toEqual(['full', undefined, undefined])
})

test('names that the pipeline needs for itself are refused', () => {
  expect(mistakes({ kind: 'alert' })[0]).toMatch(/^kind: is the name of a measurement/)
  for (const kind of ['boiler_10s', 'boiler_expected', 'data_quality'])
    expect(mistakes({ kind })[0]).toMatch(/^kind: is the name of a measurement/)
  expect(mistakes({ fields: { ...boiler.fields, time: { type: 'float', label: 'Time' } } })).toEqual([
    'fields.time: is a reserved name: choose another',
  ])
})

test('a contract has one sequence at most, and at least one field', () => {
  const second = { type: 'integer', label: 'Second', role: 'sequence' }
  expect(mistakes({ fields: { ...boiler.fields, second } })).toEqual([
    'fields.second.role: only one field can be the sequence',
  ])
  expect(mistakes({ fields: {} })).toEqual(['fields: at least one field'])
})

test('each check has a policy; what is none is refused with its place', () => {
  expect(contractSchema.parse({ ...boiler, policy: { range: 'flag' } }).policy).toEqual({
    type: 'reject',
    unit: 'reject',
    range: 'flag',
    step: 'reject',
    interval: 'pass',
    unknown_field: 'reject',
    missing_field: 'flag',
  })
  expect(mistakes({ policy: { range: 'ignore' } })).toEqual(['policy.range: must be "reject", "flag" or "pass"'])
  expect(mistakes({ policy: { ranges: 'flag' } })[0]).toContain('Unrecognized key: "ranges"')
})

test('a sensitive field is text in the store, and nothing may be judged by its values', () => {
  const badge = { type: 'float', label: 'Badge', sensitivity: 'hash' }
  const fields = (change: object) => ({ fields: { ...boiler.fields, badge: { ...badge, ...change } } })
  expect(mistakes(fields({ range: [0, 10] }))).toEqual([])
  expect(mistakes(fields({ largest_step: 1 }))).toEqual([
    'fields.badge.largest_step: cannot be judged of a sensitive field: leave one of the two out',
  ])
  expect(mistakes(fields({ type: 'integer', role: 'counter' }))).toEqual([
    'fields.badge.role: cannot be had by a sensitive field: leave one of the two out',
  ])
  const watched = { thresholds: [{ field: 'badge', above: 1 }], detectors: { outlier: ['badge'] } }
  expect(mistakes({ ...fields({}), ...watched })).toEqual([
    'thresholds.0.field: "badge" is sensitive, and what is said of it would tell its values',
    'detectors.outlier.0: "badge" is sensitive, and what is said of it would tell its values',
  ])
  const parsed = contractSchema.parse({ ...boiler, ...fields({}) }).fields
  expect([storedType(parsed['badge'] as ContractField), storedType(parsed['burning'] as ContractField)]).toEqual([
    'string',
    'boolean',
  ])
})

test('unknown keys and unknown types are refused', () => {
  expect(mistakes({ intervall: '1s' })).toEqual([': Unrecognized key: "intervall"'])
  expect(mistakes({ fields: { x: { type: 'decimal', label: 'X' } } })[0]).toMatch(/^fields\.x\.type/)
})

test('the example in docs/contracts.md is a contract', async () => {
  const page = await readFile(new URL('../../docs/contracts.md', import.meta.url), 'utf8')
  const example = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const contract = contractSchema.parse(parse(example))
  expect(Object.keys(contract.fields)).toEqual([
    'temperature_c',
    'pressure_bar',
    'starts',
    'burning',
    'state',
    'sequence',
  ])
  expect(contract.detectors.flatline).toEqual({ temperature_c: 300_000 })
})

test('widths of windows are made of each other', () => {
  const of = (...windows: string[]) => mistakes({ windows })
  expect(of()).toEqual([])
  expect(of('1s', '10s', '1m', '15m', '1h', '1d')).toEqual([])
  expect(of('10s', '15s')).toEqual(['windows.1: must be a multiple of the width before: they are made of each other'])
  expect(of('10s', '10s')).toHaveLength(1)
  expect(of('500ms')).toEqual(['windows.0: must be whole seconds'])
  expect(of('70s')).toEqual(['windows.0: must divide a day'])
  expect(of('15s')[0]).toMatch(/^windows\.0: must be a multiple of 10s/)
  expect(windowWidthsOf(contractSchema.parse(boiler)).map(windowName)).toEqual(['10s', '1m', '15m', '1h'])
  expect(windowWidthsOf(contractSchema.parse({ ...boiler, windows: ['20s', '2h'] })).map(windowName)).toEqual([
    '20s',
    '2h',
  ])
})

test('what wraps is a counter, within its modulus, and has no largest step', () => {
  const of = (field: object) => mistakes({ fields: { energy: { label: 'Energy', ...field } } })
  expect(of({ type: 'float', role: 'counter' })).toEqual([])
  expect(of({ type: 'integer', role: 'counter', wraps_at: 65_536, range: [0, 65_535] })).toEqual([])
  expect(of({ type: 'integer', wraps_at: 65_536 })).toEqual([
    'fields.energy.wraps_at: is of counters alone: add "role: counter"',
  ])
  expect(of({ type: 'integer', role: 'counter', wraps_at: 10, range: [0, 20], largest_step: 1 })).toEqual([
    'fields.energy.largest_step: would refuse every wrap of the counter: leave one of the two out',
    'fields.energy.range: must lie within 0 and 10, where the counter wraps',
  ])
})
