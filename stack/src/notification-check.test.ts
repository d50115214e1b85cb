import { expect, test } from 'vitest'
import { checkNotifications, type HeardNotification, type StoredTransition } from './notification-check.ts'

const about = { rule: 'climate.temperature_c.outlier', device: 'room' }
const stored = (episode: string, state: string, isHeld = false): StoredTransition => ({
  ...about,
  episode,
  state,
  isHeld,
})
const heard = (episode: string, state: 'firing' | 'resolved', key = `${episode}/${state}`): HeardNotification => ({
  key,
  payload: { ...about, episode, state },
})
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
