import { contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { alertsOf } from './alert-list.ts'
import { alertStory } from './alert-story.ts'
import { seededRandom } from './detectors/simulated-series.ts'
import { anomalyId } from './feedback.ts'
import { findSeries, type RecordedAnomaly } from './state.ts'
import { contextOf } from './testing.ts'

const watched = contractSchema.parse({
  kind: 'watched',
  version: 1,
  description: 'A level that somebody cares about.',
  interval: '1s',
  fields: { level: { type: 'float', label: 'Level', decimals: 3 } },
  thresholds: [{ field: 'level', above: 400 }],
  detectors: { outlier: ['level'] },
})

/** Noise, and a spike now and then. */
function withSpikes() {
  const s = alertStory(contextOf([watched]))
  const random = seededRandom(7)
  for (let second = 1; second < 400; second++)
    s.give('pi-1', second, { 'pump-1': [[second, second % 97 === 0 ? 500 : 20 + random()]] })
  return s
}
const caution = (s: ReturnType<typeof withSpikes>) =>
  findSeries(s.state, 'plant', 'pump-1', 'watched')?.fields[0]?.watches.flatMap(({ state }) =>
    'caution' in state ? [state.caution] : [],
  )[0] as number
const idOf = (s: ReturnType<typeof withSpikes>, detector: string, n = 0) =>
  s.state.anomalies.filter((one) => one.detector === detector).map(anomalyId)[n] as string

test('an anomaly that is dismissed makes its detector more careful, one that is confirmed bolder: once each, over restarts', () => {
  const s = withSpikes()
  const before = caution(s)
  const dismissed = { action: 'dismiss', anomaly: idOf(s, 'outlier'), by: 'ann', comment: 'a forklift' } as const
  expect(s.ask(400, dismissed)).toBe('done')
  const after = caution(s)
  expect(after).toBeGreaterThan(before)
  s.restart()
  expect(caution(s)).toBe(after)
  expect(s.ask(401, { ...dismissed, action: 'confirm' })).toBe(
    'unchanged: ann has dismissed it at 2026-01-01T00:06:40.000Z',
  )
  expect(caution(s)).toBe(after)
  expect(s.ask(402, { action: 'confirm', anomaly: idOf(s, 'outlier', 1) })).toBe('done')
  expect(caution(s)).toBeCloseTo(before)
  // Beside what was recorded of it: the same point.
  const lines = s.lines.filter((line) => line.startsWith('anomaly,detector=outlier'))
  const said = lines.find((line) => line.includes('feedback='))
  expect(said).toMatch(/ feedback="dismissed",feedback_by="ann",feedback_comment="a forklift" \d+$/)
  const place = (line = '') => [line.split(' ')[0], line.split(' ').at(-1)]
  expect(lines.filter((line) => !line.includes('feedback=')).map(place)).toContainEqual(place(said))
})

test('each is listed with what was expected, its bounds, and what spoke; one from before these were kept without', () => {
  const s = withSpikes()
  const { engine } = contextOf([watched])
  const listed = () => alertsOf('processor-1', 3, s.state, engine).anomalies
  const outlier = listed().find(({ detector }) => detector === 'outlier')
  expect(outlier).toMatchObject({ component: 'jump', lower: expect.any(Number), upper: expect.any(Number) })
  expect(outlier?.expected).toBeGreaterThan(outlier?.lower as number)
  expect(s.lines.find((line) => line.includes('detector=outlier'))).toContain(',component="jump"')
  const { expected: _, lower: _l, upper: _u, component: _c, ...old } = s.state.anomalies[0] as RecordedAnomaly
  s.state.anomalies = [old]
  s.restart()
  expect(listed()).toMatchObject([{ id: anomalyId(old), expected: null, lower: null, upper: null, component: '' }])
})

test('what learns nothing says so, and what nobody knows', () => {
  const s = withSpikes()
  expect(s.ask(400, { action: 'confirm', anomaly: idOf(s, 'threshold_above_400') })).toBe(
    'refused: threshold_above_400 goes by what the contract says and learns nothing: change the contract',
  )
  expect(s.ask(400, { action: 'confirm', anomaly: '0123456789ab' })).toBe(
    'unknown: no anomaly is 0123456789ab (any more)',
  )
})
