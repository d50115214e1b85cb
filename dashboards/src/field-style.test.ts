import { contractSchema } from '@tributary/protocol'
import { describe, expect, it } from 'vitest'
import { gaugeRange, limitsText, rateUnit, stateMappings, thresholdSteps, titleOf, unitId } from './field-style.ts'

const contract = contractSchema.parse({
  kind: 'test_kind',
  version: 1,
  description: 'For this test.',
  interval: '1s',
  fields: {
    temperature: { type: 'float', label: 'Temperature', unit: '°C', range: [-40, 125] },
    free: { type: 'float', label: 'Free', unit: 'furlong' },
    backlog_bytes: { type: 'integer', label: 'Backlog', unit: 'B' },
    backlog_count: { type: 'integer', label: 'Backlog' },
    level: { type: 'float', label: 'Level', range: [0, 100] },
    load: { type: 'float', label: 'Load', range: [0, 50] },
    drain: { type: 'float', label: 'Drain', range: [0, 1e9] },
    reserve: { type: 'float', label: 'Reserve', range: [-1e9, 1e9] },
    failing: { type: 'integer', label: 'Failing', range: [0, 10] },
    spare: { type: 'integer', label: 'Spare' },
    drift: { type: 'float', label: 'Drift' },
    offset: { type: 'float', label: 'Offset', unit: 'ms' },
    fault: { type: 'boolean', label: 'Fault' },
    running: { type: 'boolean', label: 'Running' },
    state: { type: 'string', label: 'State', values: ['open', 'shut'] },
  },
  thresholds: [
    { field: 'temperature', above: 35, severity: 'warning' },
    { field: 'temperature', above: 45, severity: 'critical' },
    { field: 'temperature', below: 2, severity: 'info' },
    { field: 'level', above: 95 },
    { field: 'level', below: 10 },
    { field: 'load', above: 10 },
    { field: 'drain', above: 900 },
    { field: 'reserve', below: 10 },
    { field: 'failing', above: 0, severity: 'critical' },
    { field: 'spare', below: 2.5, severity: 'warning' },
    { field: 'drift', above: 0 },
    { field: 'offset', above: 50, severity: 'warning' },
    { field: 'offset', below: -50, severity: 'warning' },
    { field: 'offset', above: 90, severity: 'critical' },
    { field: 'fault', above: 0.5, severity: 'critical' },
  ],
})

describe('thresholdSteps', () => {
  it('colours each band by the worst limit broken in it, and what is out of range apart', () => {
    expect(thresholdSteps(contract, 'temperature', 'transparent')).toEqual([
      { value: null, color: 'purple' },
      { value: -40, color: 'blue' },
      { value: 2, color: 'transparent' },
      { value: 35, color: 'orange' },
      { value: 45, color: 'red' },
      { value: 125, color: 'purple' },
    ])
  })
  it('begins at the next whole number where the field has no others', () => {
    expect(thresholdSteps(contract, 'failing', 'green')).toEqual([
      { value: null, color: 'purple' },
      { value: 0, color: 'green' },
      { value: 1, color: 'red' },
      { value: 11, color: 'purple' },
    ])
    expect(thresholdSteps(contract, 'spare', 'green')).toEqual([
      { value: null, color: 'orange' },
      { value: 3, color: 'green' },
    ])
  })
  it('is one band where there is no limit', () => {
    expect(thresholdSteps(contract, 'free', 'text')).toEqual([{ value: null, color: 'text' }])
  })
})

describe('limits in words and on a scale', () => {
  it('names each severity once', () => {
    expect(limitsText(contract, 'temperature')).toBe('info < 2, warning > 35, critical > 45')
    expect(limitsText(contract, 'free')).toBe('')
    expect(limitsText(contract, 'offset')).toBe('warning beyond ±50, critical > 90')
  })
  it('shows a little more than the limits, and nothing that the range forbids', () => {
    const [low, high] = gaugeRange(contract, 'temperature')
    expect(low).toBeCloseTo(2 - 43 / 5)
    expect(high).toBeCloseTo(45 + 43 / 5)
    expect(gaugeRange(contract, 'level')[1]).toBe(100)
  })
  it('has room for what is all right where the limit is 0', () => {
    expect(limitsText(contract, 'failing')).toBe('critical > 0')
    expect(gaugeRange(contract, 'failing')).toEqual([0, 2])
    expect(gaugeRange(contract, 'spare')).toEqual([2, 6])
    expect(gaugeRange(contract, 'drift')).toEqual([0, 1])
  })
  it('takes the range where a side has no limit, unless that is far away', () => {
    expect(gaugeRange(contract, 'load')[0]).toBe(0)
    expect(gaugeRange(contract, 'drain')).toEqual([0, 1080])
    expect(gaugeRange(contract, 'reserve')).toEqual([8, 20])
  })
})

describe('titles, units, states', () => {
  it('gives growth the unit that people know', () => {
    expect([rateUnit('Wh'), rateUnit('B').id, rateUnit('').id, rateUnit('batches').id]).toEqual([
      { id: 'watt', factor: 3_600 },
      'Bps',
      'suffix: /s',
      'suffix: batches/s',
    ])
  })
  it('tells fields with the same label apart', () => {
    expect(titleOf(contract, 'temperature')).toBe('Temperature')
    expect(titleOf(contract, 'backlog_bytes')).toBe('Backlog (B)')
    expect(titleOf(contract, 'backlog_count')).toBe('Backlog (backlog_count)')
  })
  it('writes a unit that Grafana does not know behind the number', () => {
    expect([unitId('°C'), unitId(''), unitId('furlong')]).toEqual(['celsius', 'none', 'suffix: furlong'])
  })
  it('shows a boolean with a limit as a fault when it is true', () => {
    expect(stateMappings(contract, 'fault')).toMatchObject([
      { options: { true: { color: 'red' }, false: { color: 'green' } } },
    ])
    expect(stateMappings(contract, 'running')).toMatchObject([{ options: { true: { color: 'green' } } }])
    expect(Object.keys(stateMappings(contract, 'state')[0]?.options ?? {})).toEqual(['open', 'shut'])
    expect(stateMappings(contract, 'free')).toEqual([])
  })
})
