import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  encodeRecordingEntry,
  encodeRecordingHeader,
  parseRecordingEntry,
  parseRecordingHeader,
  RECORDING_LINE_BYTES_MAX,
} from './recording.ts'

const header = { port: '/dev/ttyUSB0', baud: 115_200, startedAtMs: 1_760_000_000_000, program: '0.1.0' }
const cut = (line: string) => line.slice(0, -1)

test('the bytes of a recording do not change', () => {
  expect(encodeRecordingHeader(header)).toBe(
    '{"recording":1,"port":"/dev/ttyUSB0","baud":115200,"startedAtMs":1760000000000,"program":"0.1.0"}*317D4B94\n',
  )
  expect(encodeRecordingEntry({ afterMs: 12.3456, bytes: Buffer.from('{"sequence":1}\n') })).toBe(
    '{"afterMs":12.346,"bytes":"eyJzZXF1ZW5jZSI6MX0K"}*90820BB7\n',
  )
})

test('what is written is read back, any bytes, to the microsecond', () => {
  expect(parseRecordingHeader(cut(encodeRecordingHeader(header)))).toEqual({ recording: 1, ...header })
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 16_384 }),
      fc.double({ min: 0, max: 1e9, noNaN: true }),
      (bytes, afterMs) => {
        const line = encodeRecordingEntry({ afterMs, bytes })
        expect(line.length).toBeLessThan(RECORDING_LINE_BYTES_MAX)
        const read = parseRecordingEntry(cut(line))
        if (!('bytes' in read)) throw new Error(JSON.stringify(read))
        expect(Buffer.from(read.bytes).equals(Buffer.from(bytes))).toBe(true)
        expect(Math.abs(read.afterMs - afterMs)).toBeLessThan(0.001)
      },
    ),
    { numRuns: 50 },
  )
  expect(parseRecordingEntry(cut(encodeRecordingEntry({ afterMs: 1, event: 'closed', detail: 'unplugged' })))).toEqual({
    afterMs: 1,
    event: 'closed',
    detail: 'unplugged',
  })
})

test('a flipped bit or a cut is told, never read as something else', () => {
  const line = cut(encodeRecordingEntry({ afterMs: 5, bytes: Buffer.from('hello') }))
  fc.assert(
    fc.property(fc.nat(line.length - 1), fc.nat(6), fc.boolean(), (at, bit, isCut) => {
      const damaged = isCut
        ? line.slice(0, at)
        : `${line.slice(0, at)}${String.fromCharCode(line.charCodeAt(at) ^ (1 << bit))}${line.slice(at + 1)}`
      // The digits of the checksum mean the same in lower case.
      if (damaged.toUpperCase() === line.toUpperCase() && at > line.lastIndexOf('*')) return
      expect(parseRecordingEntry(damaged)).toHaveProperty('problem')
    }),
  )
})

test('what is no recording, or a later one, is said so', () => {
  expect(parseRecordingHeader('{"sequence":1}')).toEqual({
    problem: 'this is no recording: the line is not whole: it has no checksum',
  })
  expect(parseRecordingHeader(cut(encodeRecordingEntry({ afterMs: 1, bytes: Buffer.from('x') })))).toEqual({
    problem: 'this is no recording: the first line is no header',
  })
})
