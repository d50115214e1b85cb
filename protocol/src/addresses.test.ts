import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  alertSubject,
  anomalySubject,
  deadLetterSubject,
  isName,
  mqttTopic,
  parseMqttTopic,
  parseTelemetrySubject,
  partitionOf,
  resendSubject,
  storedSubject,
  telemetryPartitionFilter,
  telemetrySubject,
} from './addresses.ts'
import { NAME_BYTES_MAX, PARTITION_COUNT } from './limits.ts'

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?$/)

describe('names', () => {
  test.each(['a', '7', 'pi-7', 'hall_2-ost', 'a'.repeat(NAME_BYTES_MAX)])('%s is one', (text) => {
    expect(isName(text)).toBe(true)
  })
  test.each([
    '',
    '-a',
    'a-',
    '_a',
    'A',
    'ä',
    'a b',
    'a.b',
    'a/b',
    'a+',
    '#',
    '*',
    '>',
    'a\n',
    'a'.repeat(NAME_BYTES_MAX + 1),
  ])('%j is none', (text) => {
    expect(isName(text)).toBe(false)
    expect(() => mqttTopic(text, 'batch')).toThrow(/is not a name: lower-case letters/)
    expect(() => telemetrySubject('site', text)).toThrow(RangeError)
    expect(() => telemetrySubject(text, 'agent')).toThrow(RangeError)
    for (const build of [alertSubject, storedSubject, resendSubject]) expect(() => build(text)).toThrow(RangeError)
    expect(() => anomalySubject('site', text)).toThrow(RangeError)
  })
})

test('the addresses are these, for ever', () => {
  expect(mqttTopic('pi-7', 'batch')).toBe('tributary/v1/pi-7/batch')
  expect(telemetrySubject('hall', 'pi-7')).toBe(`telemetry.v1.${partitionOf('hall')}.hall.pi-7`)
  expect(telemetryPartitionFilter(3)).toBe('telemetry.v1.3.>')
  expect(deadLetterSubject('contract', 'pi-7')).toBe('deadletter.v1.contract.pi-7')
  expect(anomalySubject('hall', 'press-3')).toBe('anomaly.v1.hall.press-3')
  expect(alertSubject('hall')).toBe('alert.v1.hall')
  expect(storedSubject('hall')).toBe('stored.v1.hall')
  expect(resendSubject('hall')).toBe('resend.v1.hall')
})

test('a dead letter of an agent that could not be told is filed all the same', () => {
  for (const agent of ['', 'a.b', '>', '../..'])
    expect(deadLetterSubject('decode', agent)).toBe('deadletter.v1.decode.unknown')
})

test('what is built can be parsed', () => {
  fc.assert(
    fc.property(
      name,
      name,
      fc.constantFrom('batch' as const, 'clock' as const, 'stored' as const, 'command' as const),
      (site, agent, channel) => {
        expect(parseMqttTopic(mqttTopic(agent, channel))).toEqual({ agent, channel })
        expect(parseTelemetrySubject(telemetrySubject(site, agent))).toEqual({
          partition: partitionOf(site),
          site,
          agent,
        })
      },
    ),
  )
})

test.each([
  '',
  'tributary/v1/pi-7',
  'tributary/v1/pi-7/batch/more',
  'tributary/v2/pi-7/batch',
  'other/v1/pi-7/batch',
  'tributary/v1//batch',
  'tributary/v1/PI/batch',
  'tributary/v1/+/batch',
  'tributary/v1/pi-7/secrets',
  'tributary/v1/pi-7/constructor',
  '/tributary/v1/pi-7/batch',
])('the topic %j is none of ours', (topic) => {
  expect(parseMqttTopic(topic)).toBeUndefined()
})

test.each([
  'telemetry.v1.x.hall.pi',
  'telemetry.v1.1.hall',
  'telemetry.v1.1.hall.pi.more',
  'telemetry.v2.1.hall.pi',
  'telemetry.v1.1.*.pi',
  'telemetry.v1.1.hall.',
])('the subject %j is none of ours', (subject) => {
  expect(parseTelemetrySubject(subject)).toBeUndefined()
})

test('partitions are stable, because streams and checkpoints are named after them', () => {
  // FNV-1a of the empty string is its offset basis; "a" and "foobar" are its published test vectors.
  expect(partitionOf('')).toBe(0x811c9dc5 % 16)
  expect(partitionOf('a')).toBe(0xe40c292c % 16)
  expect(partitionOf('foobar')).toBe(0xbf9cf968 % 16)
})

test('sites spread over all partitions', () => {
  const seen = new Set(Array.from({ length: 400 }, (_, i) => partitionOf(`site-${i}`)))
  expect(seen.size).toBe(PARTITION_COUNT)
})
