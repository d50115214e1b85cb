import { expect, test } from 'vitest'
import { decodeTimeSteps, encodeTimeSteps } from './time-steps.ts'
import { VARINT_BYTES_MAX } from './varints.ts'

const encode = (times: readonly number[]) =>
  encodeTimeSteps(Float64Array.from(times), new Uint8Array(times.length * VARINT_BYTES_MAX))

test('regular times are zeros after the first interval, and come back', () => {
  const times = Array.from({ length: 50 }, (_, i) => 1_780_000_000_000 + i * 1000)
  const steps = encode(times)
  if (!steps) throw new Error('was refused')
  expect(Array.from(steps.bytes.subarray(0, steps.end))).toEqual([0xd0, 0x0f, ...new Array(48).fill(0)])
  expect(Array.from(decodeTimeSteps(times[0] ?? 0, steps, new Float64Array(50)))).toEqual(times)
})

test('jitter, repeats and steps back come back', () => {
  const times = [5, 1005, 2004, 2004, 1000, 1_000_000_000, -3]
  const steps = encode(times)
  if (!steps) throw new Error('was refused')
  expect(Array.from(decodeTimeSteps(5, steps, new Float64Array(times.length)))).toEqual(times)
})

test('one time has no steps, and none neither', () => {
  expect(encode([7])).toMatchObject({ start: 0, end: 0 })
  expect(encode([])).toMatchObject({ start: 0, end: 0 })
})

test.each<[string, number[]]>([
  ['half milliseconds', [0.5]],
  ['half milliseconds later', [0, 1, 1.5]],
  ['minus zero', [-0]],
  ['minus zero later', [5, -0]],
  ['a gap beyond 32 bits', [0, 3e9]],
  ['times beyond 2^53', [2 ** 53, 2 ** 53 + 2]],
])('%s go as doubles', (_, times) => {
  expect(encode(times)).toBeUndefined()
})
