import { expect, test } from 'vitest'
import { contractSchema } from './contract.ts'
import { peerWidthMs, rateMs, rateSpanMs } from './contract-detectors.ts'

const pump = {
  kind: 'pump',
  version: 1,
  description: 'A pump.',
  interval: '1s',
  fields: {
    current_a: { type: 'float', label: 'Current', unit: 'A', range: [0, 100] },
    vibration_mm_s: { type: 'float', label: 'Vibration', unit: 'mm/s' },
    temperature_c: { type: 'float', label: 'Temperature', unit: '°C' },
    starts: { type: 'integer', label: 'Starts', role: 'counter' },
    sequence: { type: 'integer', label: 'Sample', role: 'sequence' },
    running: { type: 'boolean', label: 'Running' },
    badge: { type: 'integer', label: 'Badge', sensitivity: 'mask' },
  },
}
const mistakes = (detectors: object, change: object = {}): string[] => {
  const result = contractSchema.safeParse({ ...pump, ...change, detectors })
  return result.success ? [] : result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
}
const rateOf = (limit: unknown) =>
  contractSchema.parse({ ...pump, detectors: { rate: { temperature_c: limit } } }).detectors.rate?.['temperature_c']

test('a rate is a change per time, either way or one, over a span that it names or has by itself', () => {
  expect(rateOf('5/min')).toEqual({ direction: 'either', amount: 5, per: 'min', over: undefined })
  expect(rateOf('+0.5/s')).toMatchObject({ direction: 'rising', amount: 0.5, per: 's' })
  expect(rateOf('-2 / h')).toMatchObject({ direction: 'falling', amount: 2, per: 'h' })
  expect(rateOf({ limit: '5/min', over: '10m' })).toMatchObject({ amount: 5, over: 600_000 })
  const limit = rateOf('6/min')
  if (limit === undefined) throw new Error('the rate is gone')
  expect(rateMs(limit) * 60_000).toBeCloseTo(6)
  expect([rateSpanMs(limit, 1_000), rateSpanMs(limit, 20_000), rateSpanMs({ ...limit, over: 7_000 }, 1_000)]).toEqual([
    60_000, 160_000, 7_000,
  ])
})

test('a rate that says nothing is refused with what would', () => {
  for (const given of ['5', 5, '5/m', '5/day', 'fast', null, [], '-/s'])
    expect(mistakes({ rate: { temperature_c: given } })[0]).toMatch(
      /^detectors\.rate\.temperature_c: must be a change per time: "5\/min"/,
    )
  expect(mistakes({ rate: { temperature_c: '0/min' } })).toEqual(['detectors.rate.temperature_c: must be more than 0'])
  expect(
    mistakes({ rate: { temperature_c: { limit: '5', over: 3, under: 4 } } }).map((one) => one.split(':')[0]),
  ).toEqual(['detectors.rate.temperature_c.limit', 'detectors.rate.temperature_c.over', 'detectors.rate.temperature_c'])
  expect(mistakes({ rate: { temperature_c: { limit: '5/min', over: '3s' } } })).toEqual([
    'detectors.rate.temperature_c.over: must be at least 4 times the interval: noise between neighbours is no rate',
  ])
})

test('each detector names fields that it can judge', () => {
  const good = {
    rate: { temperature_c: '5/min' },
    out_of_range: ['current_a'],
    counter_reset: ['starts'],
    peers: ['temperature_c', 'vibration_mm_s'],
    together: [['current_a', 'vibration_mm_s', 'temperature_c']],
  }
  expect(mistakes(good)).toEqual([])
  expect(mistakes({ rate: { starts: '+5/h' } }), 'a counter that grows too fast').toEqual([])
  expect(mistakes({ rate: { starts: '5/min', sequence: '+5/min', running: '5/min', nothing: '5/min' } })).toEqual([
    'detectors.rate.starts: "starts" is a counter, and only grows: it cannot be watched so, but for a rise, such as "+5/min"',
    'detectors.rate.sequence: "sequence" is a sequence, and only grows: it cannot be watched so',
    'detectors.rate.running: "running" is a boolean, and only numbers can be watched so',
    'detectors.rate.nothing: the contract has no field "nothing"',
  ])
  expect(mistakes({ out_of_range: ['temperature_c'], counter_reset: ['current_a', 'constructor'] })).toEqual([
    'detectors.out_of_range.0: "temperature_c" has no range: give it one',
    'detectors.counter_reset.0: "current_a" is no counter: give it "role: counter"',
    'detectors.counter_reset.1: the contract has no field "constructor"',
  ])
  expect(mistakes({ peers: ['badge', 'sequence'] })).toEqual([
    'detectors.peers.1: "sequence" is a sequence, and only grows: it cannot be watched so',
    'detectors.peers.0: "badge" is sensitive, and what is said of it would tell its values',
  ])
})

test('a list names a field once', () => {
  const twice = { out_of_range: ['current_a', 'current_a'], peers: ['temperature_c', 'current_a', 'temperature_c'] }
  expect(mistakes(twice)).toEqual([
    'detectors.out_of_range.1: "current_a" is there already',
    'detectors.peers.2: "temperature_c" is there already',
  ])
})

test('fields that are watched together are two to eight others, once', () => {
  expect(mistakes({ together: [['current_a']] })).toEqual(['detectors.together.0: must name 2 to 8 fields'])
  expect(mistakes({ together: [Array.from({ length: 9 }, (_, i) => `field_${i}`)] })[0]).toMatch(
    /^detectors\.together\.0: /,
  )
  expect(mistakes({ together: [['current_a', 'current_a']] })).toEqual(['detectors.together.0: names a field twice'])
  const twice = [
    ['current_a', 'temperature_c'],
    ['temperature_c', 'current_a'],
  ]
  expect(mistakes({ together: twice })).toEqual(['detectors.together.1: is there already'])
})

test('peers are compared in the narrowest windows that hold a sample of each', () => {
  expect(peerWidthMs([10_000, 60_000], 1_000)).toBe(10_000)
  expect(peerWidthMs([10_000, 60_000], 30_000)).toBe(60_000)
  const message =
    'detectors.peers: compares means of windows: give the contract windows that are at least as wide as its interval'
  expect(mistakes({ peers: ['temperature_c'] }, { windows: [] })).toEqual([message])
  expect(mistakes({ peers: ['temperature_c'] }, { interval: '2h' })).toEqual([message])
})
