import { expect, test } from 'vitest'
import { checkNotifications, type HeardNotification, type StoredTransition } from './notification-check.ts'

const AT_MS = Date.UTC(2026, 5, 1, 12)
const about = { rule: 'climate.temperature_c.outlier', device: 'room' }
const stored = (episode: string, state: string, isHeld = false, atMs = AT_MS): StoredTransition => ({
  ...about,
  ...{ episode, state, isHeld, atMs },
})
const heard = (
  episode: string,
  state: 'firing' | 'resolved',
  key = `${episode}/${state}`,
  atMs = AT_MS,
): HeardNotification => ({ key, payload: { ...about, episode, state, at: new Date(atMs).toISOString() } })
const CALM = { repeats: 0, mayRepeat: false }
const STORED = [stored('a', 'pending'), stored('a', 'firing'), stored('a', 'resolved'), stored('b', 'firing')]

test('each episode once, its end once, the end of one that goes on not at all', () => {
  const told = [heard('a', 'firing'), heard('a', 'resolved'), heard('b', 'firing')]
  expect(checkNotifications(STORED, told, CALM)).toEqual({
    ...{ episodes: 2, firing: 2, resolved: 1, open: 1, repeats: 0, mistakes: [] },
  })
})

test.each([
  ['an episode that nobody was told of', [heard('a', 'firing'), heard('a', 'resolved')], 'told 0 times that it fires'],
  ['an end that nobody was told of', [heard('a', 'firing'), heard('b', 'firing')], 'told 0 times that it is over'],
  [
    'one told twice under two keys',
    [heard('a', 'firing'), heard('a', 'firing', 'other'), heard('a', 'resolved'), heard('b', 'firing')],
    'told 2 times that it fires',
  ],
  [
    'an end of what goes on',
    [heard('a', 'firing'), heard('a', 'resolved'), heard('b', 'firing'), heard('b', 'resolved')],
    'not over, and told 1 times that it is over',
  ],
  [
    'one that the store does not know',
    [heard('a', 'firing'), heard('a', 'resolved'), heard('b', 'firing'), heard('c', 'firing')],
    'not in the store as firing',
  ],
])('%s is found', (_, told, said) => {
  const { mistakes } = checkNotifications(STORED, told, CALM)
  expect(mistakes).toHaveLength(1)
  expect(mistakes[0]).toContain(said)
})

test('what people are spared is not missed; repeats are a mistake unless something was killed', () => {
  expect(checkNotifications([stored('a', 'firing', true), stored('a', 'resolved')], [], CALM).mistakes).toEqual([])
  expect(checkNotifications([], [], { repeats: 1, mayRepeat: false }).mistakes).toHaveLength(1)
  expect(checkNotifications([], [], { repeats: 1, mayRepeat: true }).mistakes).toEqual([])
})

test('what fires after the devices were stopped is not counted; what is over after that is', () => {
  const late = AT_MS + 15_000
  const all = [...STORED.slice(0, 2), stored('a', 'resolved', false, late), stored('silent', 'firing', false, late)]
  const told = [heard('a', 'firing'), heard('a', 'resolved', 'a/resolved', late)]
  const check = (...more: HeardNotification[]) =>
    checkNotifications(all, [...told, ...more], { ...CALM, untilMs: AT_MS + 10_000 })
  const expected = { episodes: 1, firing: 1, resolved: 1, open: 0, mistakes: [] }
  expect(check()).toMatchObject(expected)
  expect(check(heard('silent', 'firing', 'silent/firing', late))).toMatchObject(expected)
  expect(check(heard('not stored', 'firing')).mistakes).toHaveLength(1)
})
