import { decode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Delivery, emptyDelivery, readSample } from './sample.ts'

const read = (
  value: unknown,
  device: string | undefined = 'pump-1',
  kind: string | undefined = 'vibration',
): Delivery => {
  const delivery = emptyDelivery(1_700_000_000_000)
  readSample(value, { device, kind }, delivery)
  return delivery
}
const reasons = (delivery: Delivery) => delivery.refusals.map(({ reason, readingCount }) => [reason, readingCount])

describe('a sample', () => {
  test('takes numbers, booleans and strings; null is not measured; reserved keys are no fields', () => {
    const { samples, refusals, sequences } = read({
      sequence: 7,
      t: 1.5,
      on: true,
      state: 'idle',
      gone: null,
      time_ms: 1_700_000_000_123.4,
    })
    expect(refusals).toEqual([])
    expect(sequences).toEqual([7])
    expect(samples).toEqual([
      {
        device: 'pump-1',
        kind: 'vibration',
        measuredAtMs: 1_700_000_000_123,
        sequence: 7,
        names: ['sequence', 't', 'on', 'state'],
        values: [7, 1.5, true, 'idle'],
      },
    ])
  })

  test('speaks for another device when it says so', () => {
    expect(read({ device: 'pump-2', kind: 'climate', t: 1 }).samples[0]).toMatchObject({
      device: 'pump-2',
      kind: 'climate',
    })
  })

  test.each([
    ['not_a_map', [1, 2], 0],
    ['not_a_map', 'text', 0],
    ['not_a_map', null, 0],
    ['bad_device', { device: 'Pump 1', t: 1, u: 2 }, 2],
    ['bad_device', { device: 3, t: 1 }, 1],
    ['bad_kind', { kind: 'Big-Kind', t: 1 }, 1],
    ['bad_time', { time_ms: 12, t: 1 }, 1],
    ['bad_time', { time_ms: 'now', t: 1 }, 1],
    ['bad_time', { time_ms: 2n ** 60n, t: 1 }, 1],
    ['no_fields', { time_ms: 1_700_000_000_000 }, 0],
    ['too_many_fields', Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`f${i}`, i])), 257],
  ])('is refused as a whole: %s', (reason, value, readingCount) => {
    const delivery = read(value)
    expect(delivery.samples).toEqual([])
    expect(reasons(delivery)).toEqual([[reason, readingCount]])
    expect(delivery.refusals[0]?.detail).not.toBe('')
  })

  test.each([
    ['nested_value', { a: 1 }],
    ['nested_value', [1]],
    ['nested_value', new Uint8Array(3)],
    ['not_finite', Number.NaN],
    ['not_finite', Number.POSITIVE_INFINITY],
    ['integer_too_large', 2n ** 53n],
    ['string_too_long', 'ä'.repeat(513)],
  ])('loses one value, and the rest goes on: %s', (reason, bad) => {
    const delivery = read({ good: 1, bad, sequence: 4 })
    expect(reasons(delivery)).toEqual([[reason, 1]])
    expect(delivery.samples[0]?.names).toEqual(['good', 'sequence'])
    expect(delivery.sequences).toEqual([4])
    expect(Buffer.from(delivery.refusals[0]?.original ?? []).toString()).toContain('"bad"')
  })

  test('a field with a name that the store would not take is refused', () => {
    expect(reasons(read({ 'Temp (°C)': 1, ok: 2 }))).toEqual([['bad_field_name', 1]])
  })

  test('a sequence is told even of a refused sample, so that it is not sent for ever', () => {
    expect(read({ sequence: 9, t: 1 }, undefined).sequences).toEqual([9])
    expect(read({ sequence: -1, t: 1 }).sequences).toEqual([])
    expect(read({ sequence: 1.5, t: 1 }).sequences).toEqual([])
  })

  test('integers of 64 bits that fit are numbers; -0 is 0; half a surrogate pair becomes what UTF-8 can say', () => {
    expect(read({ a: 2n ** 53n - 1n, b: -0, c: 'x\ud800y' }).samples[0]?.values).toEqual([2 ** 53 - 1, 0, 'x\ufffdy'])
  })

  test('a frame nested thousands of levels deep does not end the agent', () => {
    const deep = decode(Buffer.concat([Buffer.alloc(4_000, 0x91), Buffer.of(0xc0)]))
    expect(reasons(read(deep))).toEqual([['not_a_map', 0]])
    expect(reasons(read({ t: 1, deep }))).toEqual([['nested_value', 1]])
  })

  test('nothing that comes in vanishes, and nothing throws', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withTypedArray: true, withDate: true })),
        (value) => {
          const { samples, refusals } = read(value)
          const told =
            samples.reduce((sum, sample) => sum + sample.names.length, 0) +
            refusals.reduce((sum, refusal) => sum + refusal.readingCount, 0)
          const fields = Object.entries(value).filter(
            ([key, item]) => !['device', 'kind', 'time_ms'].includes(key) && item !== null && item !== undefined,
          )
          expect(told).toBe(fields.length)
        },
      ),
    )
  })
})
