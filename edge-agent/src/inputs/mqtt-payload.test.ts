import { describe, expect, test } from 'vitest'
import type { TopicConfig } from '../config.ts'
import { createMessageReader, PAYLOAD_BYTES_MAX } from './mqtt-payload.ts'

const json: TopicConfig = { pattern: 'sensors/{device}/sample', kind: 'climate', payload: 'json' }
const number: TopicConfig = { pattern: 'plc/{device}/{field}', kind: 'power', payload: 'number' }
const read = (topics: TopicConfig[], topic: string, payload: string | Buffer) =>
  createMessageReader(topics)(topic, Buffer.from(payload as string), 1_700_000_000_000)
const reasons = (delivery: ReturnType<typeof read>) => delivery.refusals.map(({ reason }) => reason)

describe('JSON', () => {
  test('one sample or a list of samples', () => {
    expect(read([json], 'sensors/a/sample', '{"t":1}').samples).toMatchObject([
      { device: 'a', kind: 'climate', names: ['t'] },
    ])
    const many = read([json], 'sensors/a/sample', '[{"t":1,"sequence":1},{"t":{"x":1},"sequence":2},7]')
    expect(many.samples).toHaveLength(2)
    expect(many.sequences).toEqual([1, 2])
    expect(reasons(many)).toEqual(['nested_value', 'not_a_map'])
  })

  test('mapped fields are taken from where they stand, and nothing else', () => {
    const mapped: TopicConfig = { ...json, fields: { temperature_c: 'temp.value', time_ms: 'at' } }
    expect(
      read([mapped], 'sensors/a/sample', '{"temp":{"value":21.5,"unit":"C"},"at":1700000000001,"rssi":3}').samples,
    ).toMatchObject([{ measuredAtMs: 1_700_000_000_001, names: ['temperature_c'], values: [21.5] }])
    expect(reasons(read([mapped], 'sensors/a/sample', '{"temp":3}'))).toEqual(['no_fields'])
    expect(reasons(read([mapped], 'sensors/a/sample', '{"temp":{"value":[1]}}'))).toEqual(['nested_value'])
  })

  test('a message nested thousands of levels deep does not end the agent', () => {
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
    expect(reasons(read([json], 'sensors/a/sample', deep))).toEqual(['not_a_map'])
    const besides = read([json], 'sensors/a/sample', `{"t":1,"deep":${deep}}`)
    expect(reasons(besides)).toEqual(['nested_value'])
    expect(besides.samples).toMatchObject([{ names: ['t'], values: [1] }])
    expect(reasons(read([json], 'sensors/a/sample', `{"device":${deep},"t":1}`))).toEqual(['device_mismatch'])
  })

  test('what cannot be read is refused with its reason', () => {
    expect(reasons(read([json], 'sensors/a/sample', '{bad'))).toEqual(['not_json'])
    expect(reasons(read([json], 'sensors/a/sample', '[]'))).toEqual(['no_samples'])
    expect(reasons(read([json], 'sensors/A b/sample', '{"t":1}'))).toEqual(['bad_device'])
    expect(reasons(read([json], 'other/topic', '{"t":1}'))).toEqual(['unknown_topic'])
    expect(reasons(read([json], 'sensors/a/sample', `"${'x'.repeat(PAYLOAD_BYTES_MAX)}"`))).toEqual([
      'payload_too_large',
    ])
  })

  test('integers beyond 2^53 are refused one by one, not rounded; the rest of the sample goes on', () => {
    const delivery = read([json], 'sensors/a/sample', '{"t":1,"serial":12345678901234567890,"low":-9007199254740993}')
    expect(reasons(delivery)).toEqual(['integer_too_large', 'integer_too_large'])
    expect(delivery.refusals[0]?.original.toString()).toContain('12345678901234567890')
    expect(delivery.samples).toMatchObject([{ names: ['t'], values: [1] }])
    expect(read([json], 'sensors/a/sample', '{"t":0.1234567890123456789}').samples).toMatchObject([{ names: ['t'] }])
    expect(reasons(read([number], 'plc/m/energy', '12345678901234567890'))).toEqual(['integer_too_large'])
    expect(reasons(read([json], 'sensors/a/sample', '{"t":1,"time_ms":12345678901234567890}'))).toEqual(['bad_time'])
  })

  test('bytes that are no text are refused as such, not read as other text', () => {
    expect(reasons(read([json], 'sensors/a/sample', Buffer.from('{"state":"\xff\xfe"}', 'latin1')))).toEqual([
      'not_utf8',
    ])
    expect(reasons(read([json], 'sensors/a/sample', Buffer.from([0, 1, 2, 0x80])))).toEqual(['not_utf8'])
    expect(reasons(read([json], 'sensors/a/sample', Buffer.alloc(0)))).toEqual(['not_json'])
  })

  test('a payload does not speak for a device other than its topic', () => {
    const delivery = read([json], 'sensors/a/sample', '{"device":"b","t":1,"u":2}')
    expect(delivery.samples).toEqual([])
    expect(delivery.refusals).toMatchObject([{ reason: 'device_mismatch', readingCount: 2 }])
    expect(read([json], 'sensors/a/sample', '{"device":"a","t":1}').samples).toHaveLength(1)
  })
})

describe('one value a message', () => {
  test('numbers', () => {
    for (const [text, value] of [
      ['21.5', 21.5],
      [' -3e2\n', -300],
      ['0', 0],
    ] as const)
      expect(read([number], 'plc/a/current_a', text).samples).toMatchObject([
        { device: 'a', names: ['current_a'], values: [value] },
      ])
    for (const text of ['', 'NaN', 'Infinity', '0x10', '1,5', '12V'])
      expect(reasons(read([number], 'plc/a/current_a', text))).toEqual(['not_a_number'])
  })

  test('booleans and text, with the field and device from the config', () => {
    const valve: TopicConfig = { pattern: 'valve', kind: 'tank', device: 'tank-1', payload: 'boolean', field: 'open' }
    expect(read([valve], 'valve', 'ON').samples).toMatchObject([{ device: 'tank-1', names: ['open'], values: [true] }])
    expect(reasons(read([valve], 'valve', 'maybe'))).toEqual(['not_a_boolean'])
    expect(read([{ ...valve, payload: 'text' }], 'valve', 'ajar').samples[0]?.values).toEqual(['ajar'])
    expect(reasons(read([{ ...valve, payload: 'text' }], 'valve', 'x'.repeat(2_000)))).toEqual(['string_too_long'])
  })
})
