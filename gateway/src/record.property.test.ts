import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeRecord, encodeRecord, type ReceivedBatch } from './record.ts'

const received: fc.Arbitrary<ReceivedBatch> = fc.record({
  agent: fc
    .string({ maxLength: 60 })
    .filter((text) => Buffer.byteLength(text) <= 255 && Buffer.from(text).toString() === text),
  receivedAtMs: fc.integer({ min: 0, max: 2 ** 47 }),
  identity: fc.option(
    fc.record({
      epoch: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n) => n.toString(16).padStart(16, '0')),
      sequence: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
      readingCount: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    }),
    { nil: undefined },
  ),
  batch: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
})

test('a record comes back as it was written', () => {
  fc.assert(
    fc.property(received, (record) => {
      expect(decodeRecord(encodeRecord(record))).toEqual(record)
    }),
  )
})

test('bytes that are no record are told apart, whatever they are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const record = decodeRecord(bytes)
      expect(record === undefined || bytes[0] === 1).toBe(true)
    }),
  )
})

test('the layout is the documented one', () => {
  const bytes = encodeRecord({
    agent: 'ab',
    receivedAtMs: 0x010203040506,
    identity: { epoch: '00112233445566ff', sequence: 0x0a0b, readingCount: 7 },
    batch: Uint8Array.of(0xee),
  })
  expect(bytes.toString('hex')).toBe(
    ['01', '01', '010203040506', '00112233445566ff', '000000000a0b', '00000007', '02', '6162', 'ee'].join(''),
  )
})
