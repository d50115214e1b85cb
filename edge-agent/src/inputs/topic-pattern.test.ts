import { expect, test } from 'vitest'
import { matchTopic, overlap, parseTopicPattern, type TopicPattern } from './topic-pattern.ts'

const match = (pattern: string, topic: string) => matchTopic(parseTopicPattern(pattern) as TopicPattern, topic)

test('named levels are taken, wildcards match, the rest must be equal', () => {
  expect(parseTopicPattern('plc/{device}/{field}')).toMatchObject({ filter: 'plc/+/+' })
  expect(match('plc/{device}/{field}', 'plc/a/b')).toEqual({ device: 'a', field: 'b' })
  expect(match('plc/{device}/{field}', 'plc/a')).toBeUndefined()
  expect(match('+/{device}/#', 'x/a/b/c')).toEqual({ device: 'a', field: undefined })
  expect(match('+/{device}/#', 'x/a')).toEqual({ device: 'a', field: undefined })
  expect(match('a/b', 'a/c')).toBeUndefined()
})

test.each([
  ['', /between 1/],
  ['a/{device}/{device}', /twice/],
  ['a/x{device}', /whole level/],
  ['a/{other}', /\{device\} or \{field\}/],
  ['a/#/b', /last level/],
  ['a/b+', /whole level/],
])('a mistake in "%s" is told', (pattern, message) => {
  expect((parseTopicPattern(pattern) as { mistake: string }).mistake).toMatch(message)
})

test.each([
  ['a/{device}', 'a/+', true],
  ['a/{device}', 'a/b', true],
  ['a/b', 'a/c', false],
  ['a/{device}/x', 'a/b/y', false],
  ['a/#', 'a', true],
  ['a/#', 'a/b/c', true],
  ['a/#', 'b/#', false],
  ['a/b', 'a/b/c', false],
])('%s and %s: overlap %s', (left, right, expected) => {
  expect(overlap(left, right)).toBe(expected)
  expect(overlap(right, left)).toBe(expected)
})
