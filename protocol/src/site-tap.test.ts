import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createTapFrameReader, derivedSample, encodeTapFrame, type TapFrame } from './site-tap.ts'

test('frames come out as they went in, wherever the stream is cut', () => {
  const frame = fc.record({
    dropped: fc.nat(0xffffffff),
    batch: fc.option(fc.uint8Array({ minLength: 1, maxLength: 300 }), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.integer({ min: 1, max: 50 })), (frames, cuts) => {
      const bytes = Buffer.concat(frames.map(encodeTapFrame))
      const read = createTapFrameReader()
      const found: TapFrame[] = []
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        found.push(...read(bytes.subarray(at, at + cut)))
        at += cut
      }
      expect(found.map(({ dropped, batch }) => ({ dropped, batch: batch && [...batch] }))).toEqual(
        frames.map(({ dropped, batch }) => ({ dropped, batch: batch && [...batch] })),
      )
    }),
  )
})

test('what announces more than a batch, or less than a head, is refused before it is waited for', () => {
  for (const length of [0, 3, 2 ** 30]) {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(length)
    expect(() => createTapFrameReader()(head)).toThrow(RangeError)
  }
})

test('a derived sample names its device and kind, and has a field', () => {
  const good = { device: 'hall', kind: 'climate', timeMs: 1, fields: { temperature_c: 20.5, wet: true, state: 'ok' } }
  expect(derivedSample.safeParse(good).success).toBe(true)
  for (const change of [
    { device: 'Hall 1' },
    { kind: 'a b' },
    { fields: {} },
    { timeMs: -1 },
    { fields: { a: null } },
    { more: 1 },
  ])
    expect(derivedSample.safeParse({ ...good, ...change }).success, JSON.stringify(change)).toBe(false)
})
