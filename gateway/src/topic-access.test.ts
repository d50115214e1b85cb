import { expect, test } from 'vitest'
import { mayPublish, maySubscribe } from './topic-access.ts'

test('an agent publishes batches and clock messages on its own topics', () => {
  expect(mayPublish('agent-1', 'tributary/v1/agent-1/batch')).toBe('batch')
  expect(mayPublish('agent-1', 'tributary/v1/agent-1/clock')).toBe('clock')
})

test('an agent subscribes to what is meant for it', () => {
  expect(maySubscribe('agent-1', 'tributary/v1/agent-1/stored')).toBe('stored')
  expect(maySubscribe('agent-1', 'tributary/v1/agent-1/command')).toBe('command')
  expect(maySubscribe('agent-1', 'tributary/v1/agent-1/clock')).toBe('clock')
})

test.each([
  'tributary/v1/agent-2/batch',
  'tributary/v1/agent-1/stored',
  'tributary/v1/agent-1/batch/',
  'tributary/v1/agent-1',
  'tributary/v2/agent-1/batch',
  '$SYS/broker/clients',
  '',
])('it must not publish to %j', (topic) => expect(mayPublish('agent-1', topic)).toBeUndefined())

test.each([
  '#',
  '+/+/+/+',
  'tributary/v1/+/stored',
  'tributary/v1/agent-1/#',
  'tributary/v1/agent-1/batch',
  'tributary/v1/agent-2/stored',
  '$SYS/#',
])('it must not subscribe to %j', (topic) => expect(maySubscribe('agent-1', topic)).toBeUndefined())
