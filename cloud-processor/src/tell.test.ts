/** What the store holds of an alert that somebody acknowledged: its last state, by time, is the last thing that happened. */
import { expect, test } from 'vitest'
import { alertStory, watchedContract } from './alert-story.ts'
import { rulesSchema } from './alerts/index.ts'
import { contextOf } from './testing.ts'

const watched = watchedContract()
const rules = rulesSchema.parse({
  rules: [{ name: 'level', keep_firing_for: '5s', escalate: { after: '10s', notify: ['chief'] } }],
})
const story = () => alertStory(contextOf([watched], { rules, receivers: ['people', 'chief'] }))
/** As a query finds them: one a point, by time. */
function stored({ lines }: ReturnType<typeof story>): string[] {
  const points = new Map<number, string>()
  for (const line of lines.filter((one) => one.startsWith('alert,')))
    points.set(Number(line.split(' ').at(-1)), /state="(\w+)"/.exec(line)?.[1] ?? '')
  return [...points].sort(([a], [b]) => a - b).map(([, state]) => state)
}
function fire() {
  const s = story()
  s.give('pi-1', 1, { 'pump-1': [[1, 50]] })
  const acknowledge = (second: number) =>
    s.ask(second, { action: 'acknowledge', episode: Object.keys(s.state.desk.firing)[0] as string })
  return { s, acknowledge }
}

test('one of a device that nothing more is heard of', () => {
  const { s, acknowledge } = fire()
  for (let second = 5; second <= 20; second += 5) s.tick(second)
  expect(acknowledge(21)).toBe('done')
  expect(stored(s)).toEqual(['firing', 'escalated', 'acknowledged'])
  const day = 86_400
  s.give('pi-2', 8 * day, { 'pump-2': [[8 * day, 1]] })
  s.give('pi-2', 8 * day + 60, { 'pump-2': [[8 * day + 60, 1]] })
  expect(Object.keys(s.state.alerts.episodes)).toEqual([])
  expect(stored(s).at(-1)).toBe('resolved')
})

test('one whose end is known to come, acknowledged at the last moment', () => {
  const { s, acknowledge } = fire()
  s.give('pi-1', 2, { 'pump-1': [[2, 1]] })
  s.give('pi-1', 7, { 'pump-1': [[7, 1]] })
  expect(acknowledge(7)).toBe('done')
  s.give('pi-1', 8, { 'pump-1': [[8, 1]] })
  expect(Object.keys(s.state.alerts.episodes)).toEqual([])
  expect(stored(s).at(-1)).toBe('resolved')
})

test('an acknowledgement and an end say how long after the firing they stand, by the same clock; nothing else does', () => {
  const { s, acknowledge } = fire()
  for (let second = 2; second <= 20; second++) s.give('pi-1', second, { 'pump-1': [[second, 50]] })
  for (let second = 5; second <= 15; second += 5) s.tick(second)
  expect(acknowledge(21)).toBe('done')
  s.give('pi-1', 30, { 'pump-1': [[30, 1]] })
  s.give('pi-1', 40, { 'pump-1': [[40, 1]] })
  const points = s.lines
    .filter((line) => line.startsWith('alert,'))
    .map((line) => ({
      state: /state="(\w+)"/.exec(line)?.[1],
      after: /,after_seconds=([\d.]+)[, ]/.exec(line)?.[1],
      timeMs: Number(line.split(' ').at(-1)),
    }))
  const firedAtMs = points.find(({ state }) => state === 'firing')?.timeMs as number
  expect(points.map(({ state }) => state)).toEqual(['firing', 'escalated', 'acknowledged', 'resolved'])
  for (const { state, after, timeMs } of points)
    if (state === 'firing' || state === 'escalated') expect(after).toBeUndefined()
    else expect(Number(after)).toBeCloseTo((timeMs - firedAtMs) / 1_000, 6)
  // Event time stood at 20 s, and the end is 5 s (keep_firing_for) after the reading at 30 s; it fired at 1 s.
  expect(Number(points[2]?.after)).toBeCloseTo(19, 1)
  expect(Number(points[3]?.after)).toBeCloseTo(34, 1)
})

test('what ends before it fires says nothing of that', () => {
  const slow = rulesSchema.parse({ rules: [{ name: 'level', for: '60s' }] })
  const s = alertStory(contextOf([watched], { rules: slow, receivers: ['people'] }))
  s.give('pi-1', 1, { 'pump-1': [[1, 50]] })
  s.give('pi-1', 9, {
    'pump-1': [
      [5, 1],
      [9, 1],
    ],
  })
  expect(stored(s)).toEqual(['pending', 'resolved'])
  expect(s.lines.some((line) => line.includes('after_seconds'))).toBe(false)
})
