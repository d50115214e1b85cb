/** What is read by a layout is what is read without one, whatever is written and however. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { TopicConfig } from '../config.ts'
import { emptyDelivery } from '../sample.ts'
import { createLayoutReader } from './json-layout.ts'
import { createMessageReader } from './mqtt-payload.ts'

const topic: TopicConfig = { pattern: 'sensors/{device}/sample', kind: 'climate', payload: 'json' }
const NOW_MS = 1_767_225_600_000

const number = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.integer({ min: -1e6, max: 1e6 }), fc.nat(6)).map(([n, d]) => (n / 10 ** d).toFixed(d)),
  },
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
  fc.maxSafeNat().map(String),
  fc.constantFrom(
    '0',
    '-0',
    '-0.0',
    '0.1',
    '1e3',
    '1E-7',
    '-2.5e+300',
    '123456789012345',
    '1234567890123456',
    '0.1234567890123456789',
  ),
  // Refused, or no JSON.
  {
    weight: 1,
    arbitrary: fc.constantFrom('9007199254740993', '1e999', '01', '1.', '.5', '+1', '--1', '1.5.2', '1e', 'NaN'),
  },
)
const value = fc.oneof(
  { weight: 12, arbitrary: number },
  fc.constantFrom('true', 'false', 'tru', 'null', '"open"', '[1]', '{}', '""'),
)
const field = fc.constantFrom(
  'level',
  'temperature_c',
  'sequence',
  'device',
  'kind',
  'Bad Name',
  'a"b',
  '__proto__',
  '7',
)
const time = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: NOW_MS, max: NOW_MS + 1e6 }).map(String) },
  fc.constantFrom('1', '1767225600000.5', '1767225600000e0', '99999999999999', 'null', '-1767225600000'),
)
const blank = fc.constantFrom('', '', ' ', '\n', '\t')
const style = fc.record({ colon: blank, comma: blank, open: blank, close: blank, list: blank })

/** Messages of devices that write in a few ways, and now and then in another. */
const messages = fc
  .record({
    names: fc.uniqueArray(fc.constantFrom('level', 'temperature_c', 'sequence', 'running'), { minLength: 1 }),
    odd: fc.array(field, { maxLength: 3 }),
    style,
    otherStyle: style,
    hasTime: fc.boolean(),
  })
  .chain(({ names, odd, style, otherStyle, hasTime }) => {
    const sample = (keys: readonly string[], { colon, comma, open, close }: typeof style) =>
      fc.tuple(time, ...keys.map(() => value)).map(([timeText, ...values]) => {
        const parts = keys.map((key, i) => `${JSON.stringify(key)}:${colon}${values[i]}`)
        if (hasTime) parts.unshift(`"time_ms":${colon}${timeText}`)
        return `{${open}${parts.join(`,${comma}`)}${close}}`
      })
    const usual = sample(names, style)
    const any = fc.oneof({ weight: 8, arbitrary: usual }, sample([...names, ...odd], style), sample(names, otherStyle))
    const list = fc
      .array(any, { maxLength: 4 })
      .map((items) => `[${style.list}${items.join(`,${style.list}`)}${style.list}]`)
    const broken = list.chain((text) => fc.nat(text.length).map((end) => text.slice(0, end)))
    return fc.array(
      fc.oneof(
        { weight: 4, arbitrary: usual },
        { weight: 4, arbitrary: list },
        broken,
        any.map((text) => `${text} `),
        any.map((text) => `${text}x`),
      ),
      { minLength: 1, maxLength: 8 },
    )
  })

test('with layouts and without: the same samples, to the bit, and the same refusals', () => {
  fc.assert(
    fc.property(messages, (texts) => {
      const read = createMessageReader([topic])
      for (const text of texts) {
        const name = 'sensors/pump-1/sample'
        const payload = Buffer.from(text)
        // A reader that has not read anything knows no layout.
        const expected = createMessageReader([topic])(name, payload, NOW_MS)
        const first = read(name, payload, NOW_MS)
        const again = read(name, payload, NOW_MS)
        for (const delivery of [first, again]) {
          expect(delivery).toEqual(expected)
          for (const [i, sample] of delivery.samples.entries())
            for (const [j, got] of sample.values.entries())
              expect(Object.is(got, expected.samples[i]?.values[j])).toBe(true)
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('what was written once is read by its layout, in the order of the device and with its blanks; eight layouts are remembered', () => {
  const reader = createLayoutReader()
  const read = (text: string) => {
    const delivery = emptyDelivery(NOW_MS)
    return reader.read(Buffer.from(text), 'pump-1', 'climate', delivery) ? delivery : undefined
  }
  const text = `[{"time_ms": ${NOW_MS}, "level": 1.5, "on": true}, {"time_ms": ${NOW_MS + 1}, "level": -0, "on": false}]`
  expect(read(text)).toBeUndefined()
  reader.learn(text)
  expect(read(text)?.samples).toEqual([
    {
      device: 'pump-1',
      kind: 'climate',
      measuredAtMs: NOW_MS,
      sequence: undefined,
      names: ['level', 'on'],
      values: [1.5, true],
    },
    {
      device: 'pump-1',
      kind: 'climate',
      measuredAtMs: NOW_MS + 1,
      sequence: undefined,
      names: ['level', 'on'],
      values: [0, false],
    },
  ])
  expect(read(`{"level": 1, "time_ms": ${NOW_MS}, "on": true}`)).toBeUndefined()
  for (let i = 0; i < 8; i++) reader.learn(`{"level_${i}":1}`)
  expect(read(text)).toBeUndefined()
  expect(Array.from({ length: 8 }, (_, i) => read(`{"level_${i}":2}`)?.samples.length)).toEqual(Array(8).fill(1))
})

test('a number of hundreds of thousands of digits harms nobody', () => {
  const reader = createLayoutReader()
  reader.learn('{"level":1}')
  const delivery = emptyDelivery(NOW_MS)
  const digits = '1'.repeat(400_000)
  for (const text of [`{"level":${digits}}`, `{"level":0.${digits}}`])
    expect(reader.read(Buffer.from(text), 'pump-1', 'climate', delivery)).toBe(false)
  expect(delivery.samples).toEqual([])
})
