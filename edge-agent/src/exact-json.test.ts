import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exactNumber, parseExactJson } from './exact-json.ts'

/** Any JSON without integers that a double cannot hold. */
const ordinaryJson = fc.json().filter((text) => !/\d{16}/.test(text))

test('everything without such integers is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(ordinaryJson, (text) => {
      expect(parseExactJson(text)).toEqual(JSON.parse(text))
    }),
  )
  for (const text of [
    '{"a":0.3333333333333333,"b":1.2345678901234567e-20}',
    '{"a":12345678901234567.5,"b":1e300,"c":12345678901234567e3}',
    '{"a":9007199254740991,"b":-9007199254740991}',
    '{"a":"say \\"12345678901234567890\\", :12345678901234567890,","b":[":12345678901234567890"]}',
  ])
    expect(parseExactJson(text)).toEqual(JSON.parse(text))
})

test('integers beyond 2^53 come whole, wherever they stand, and nothing else changes', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 80n }), fc.boolean(), ordinaryJson, (big, negative, other) => {
      const value = negative ? -big : big
      expect(parseExactJson(`{"a":${value},"b":[ ${value} ,${other}],"c":${other}}`)).toEqual({
        a: value,
        b: [value, JSON.parse(other)],
        c: JSON.parse(other),
      })
    }),
  )
  expect(parseExactJson('{"integer 0":"integer 0","a":9007199254740992}')).toEqual({
    'integer 0': 'integer 0',
    a: 2n ** 53n,
  })
})

test('what is no JSON is none here either', () => {
  for (const text of [
    '{"a":12345678901234567890',
    '{"a":012345678901234567}',
    '{"a":1234567890123456-1}',
    '{a:12345678901234567890}',
  ])
    expect(() => parseExactJson(text)).toThrow(SyntaxError)
})

test('the search costs the ordinary line next to nothing', () => {
  const line = JSON.stringify({ sequence: 123_456, time_ms: 1_760_000_000_000, temperature_c: 21.48, state: 'idle' })
  const seconds = (parse: (text: string) => unknown) => {
    const started = performance.now()
    for (let i = 0; i < 50_000; i++) parse(line)
    return performance.now() - started
  }
  seconds(parseExactJson)
  seconds(JSON.parse)
  const ratio = Math.min(...[1, 2, 3, 4, 5].map(() => seconds(parseExactJson) / seconds(JSON.parse)))
  console.info(`${ratio.toFixed(2)} times JSON.parse`)
  expect(ratio).toBeLessThan(2)
})

test('numbers as text', () => {
  expect(exactNumber('12345678901234567890')).toBe(12_345_678_901_234_567_890n)
  expect(exactNumber('-9007199254740993')).toBe(-9_007_199_254_740_993n)
  expect(exactNumber('9007199254740991')).toBe(9_007_199_254_740_991)
  for (const text of ['0.12345678901234567', '12345678901234567e1', '-1234567890123456.5'])
    expect(exactNumber(text)).toBe(Number(text))
})
