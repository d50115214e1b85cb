import { expect, test } from 'vitest'
import {
  agentCommand,
  clockPing,
  clockPong,
  parseControlMessage,
  resendRequest,
  storedRelay,
  storedWatermarks,
} from './control-messages.ts'

const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const watermark = { agent: 'pi-7', epoch: '00c0ffee12345678', sequence: 41 }
const resend = { agent: 'pi-7', epoch: '00c0ffee12345678', fromSequence: 5, toSequence: 9 }

const relay = { gatewayEpoch: 'feedfacecafebeef', epoch: '00c0ffee12345678', sequence: 41 }
const command = { type: 'resend', epoch: '00c0ffee12345678', fromSequence: 5, toSequence: 9 }
const ping = { type: 'ping', id: 7 }
const pong = { type: 'pong', id: 7, wallMs: 1_780_315_201_000.5, trusted: true }

test('what was sent is what is read', () => {
  for (const [schema, sent] of [
    [storedRelay, relay],
    [agentCommand, command],
    [clockPing, ping],
    [clockPong, pong],
  ] as const)
    expect(parseControlMessage<unknown>(schema, bytes(sent))).toEqual(sent)

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

test.each<[string, typeof storedRelay | typeof agentCommand | typeof clockPing | typeof clockPong, unknown]>([
  ['a relay without the gateway', storedRelay, { ...relay, gatewayEpoch: '' }],
  ['a relay of half a sequence', storedRelay, { ...relay, sequence: 0.5 }],
  ['a command that is none', agentCommand, { ...command, type: 'reboot' }],
  ['a resend of another epoch format', agentCommand, { ...command, epoch: 'XYZ' }],
  ['a resend from sequence 0', agentCommand, { ...command, fromSequence: 0 }],
  ['a resend backwards', agentCommand, { ...command, toSequence: 4 }],
  ['a ping for a pong', clockPong, { ...ping, wallMs: 0, trusted: true }],
  ['a pong for a ping', clockPing, pong],
  ['a ping without a number', clockPing, { type: 'ping', id: 'a' }],
  ['a pong without a time', clockPong, { ...pong, wallMs: null }],
  ['a pong that does not say whether it may be trusted', clockPong, { ...pong, trusted: undefined }],
])('%s is refused', (_, schema, wrong) => {
  expect(parseControlMessage<unknown>(schema, bytes(wrong))).toBeUndefined()
})
