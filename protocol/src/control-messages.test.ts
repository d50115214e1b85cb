import { expect, test } from 'vitest'
import { parseControlMessage, resendRequest, storedWatermarks } from './control-messages.ts'

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const watermark = { agent: 'pi-7', epoch: '00c0ffee12345678', sequence: 41 }
const resend = { agent: 'pi-7', epoch: '00c0ffee12345678', fromSequence: 5, toSequence: 9 }

test('what was sent is what is read', () => {
  const stored = { site: 'hall', watermarks: [watermark] }
  expect(parseControlMessage(storedWatermarks, bytes(stored))).toEqual(stored)
  expect(parseControlMessage(resendRequest, bytes(resend))).toEqual(resend)
})

test('a field that a later version adds does no harm', () => {
  expect(parseControlMessage(resendRequest, bytes({ ...resend, urgency: 3 }))).toEqual(resend)
})

test.each<[string, unknown]>([
  ['another epoch format', { ...watermark, epoch: 'XYZ' }],
  ['a negative sequence', { ...watermark, sequence: -1 }],
  ['half a sequence', { ...watermark, sequence: 1.5 }],
  ['a sequence beyond 2^53', { ...watermark, sequence: 2 ** 60 }],
  ['no agent', { ...watermark, agent: '' }],
  ['an agent with a name too long', { ...watermark, agent: 'a'.repeat(65) }],
  ['a sequence as text', { ...watermark, sequence: '41' }],
])('a watermark with %s is refused', (_, wrong) => {
  expect(parseControlMessage(storedWatermarks, bytes({ site: 'hall', watermarks: [watermark, wrong] }))).toBeUndefined()
})

test('more watermarks than a message may have are refused', () => {
  const watermarks = new Array(10_001).fill(watermark)
  expect(parseControlMessage(storedWatermarks, bytes({ site: 'hall', watermarks }))).toBeUndefined()
})

test('what is no JSON is refused and throws nothing', () => {
  for (const text of ['', '{', 'null', '[]', '42', '\u0000'])
    expect(parseControlMessage(resendRequest, Buffer.from(text))).toBeUndefined()
  expect(parseControlMessage(resendRequest, Uint8Array.of(0xff, 0xfe, 0x00))).toBeUndefined()
})
