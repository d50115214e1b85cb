import { randomBytes } from 'node:crypto'
import { decodeBatch, decodeHeader, encodeBatch } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { outgoing } from './outgoing.ts'
import { encodeRecord } from './record.ts'
import { EPOCH, makeBatch } from './testing.ts'

const NATS_DEFAULT = 1024 * 1024
const none = () => ({ batches: 0, bytes: 0, drainSeconds: 0 })
const recordOf = (batch: Uint8Array, readingCount = 3) =>
  encodeRecord({ agent: 'pi-1', receivedAtMs: 0, identity: { epoch: EPOCH, sequence: 7, readingCount }, batch })

test('without a backlog of its own the gateway passes the batch on as it came', () => {
  const batch = makeBatch('pi-1', 7, { lane: 'backlog', backlogBatches: 5 })
  expect(outgoing(recordOf(batch), NATS_DEFAULT, 'live', undefined)).toEqual({ agent: 'pi-1', payload: batch })
})

test('a backlog of its own is added to what the agent said', () => {
  const own = () => ({ batches: 100, bytes: 7_000, drainSeconds: 12 })
  const sent = { backlogBatches: 5, backlogBytes: 300, drainSeconds: 2 }
  const headerOf = (agentLane: 'live' | 'backlog', lane: 'live' | 'backlog') => {
    const batch = makeBatch('pi-1', 7, { ...sent, lane: agentLane })
    const { payload } = outgoing(recordOf(batch), NATS_DEFAULT, lane, own) ?? {}
    expect(decodeBatch(payload as Uint8Array).blocks).toEqual(decodeBatch(batch).blocks)
    return decodeHeader(payload as Uint8Array)
  }
  const added = { backlogBatches: 105, backlogBytes: 7_300, drainSeconds: 12 }
  expect(headerOf('live', 'backlog')).toMatchObject({ ...added, lane: 'backlog' })
  expect(headerOf('live', 'live')).toMatchObject({ ...added, lane: 'live' })
  expect(headerOf('backlog', 'live'), "the agent's backlog stays one").toMatchObject({ ...added, lane: 'backlog' })
})

test('a batch that NATS does not take becomes a dead letter under its own sequence, with its count of readings', () => {
  const regular = decodeBatch(makeBatch('pi-1', 7, {}, 3_000))
  const noise = Float64Array.from({ length: 3_000 }, () => Math.random() / 3)
  const columns = [{ field: 'noise', present: null, type: 'number', values: noise } as const]
  const batch = encodeBatch({ ...regular, blocks: regular.blocks.map((block) => ({ ...block, columns })) })
  const limit = batch.length - 100
  const { payload, replaced } = outgoing(recordOf(batch, 3_000), limit, 'live', undefined) ?? {}
  expect(replaced).toBe('larger_than_nats_takes')
  expect(payload?.length).toBeLessThanOrEqual(limit - 64)
  const { header, blocks, deadLetters } = decodeBatch(payload as Uint8Array)
  expect(header).toMatchObject({ agent: 'pi-1', epoch: EPOCH, sequence: 7, readingCount: 3_000, sampleCount: 0 })
  expect(header.readingsTotal).toBe(decodeHeader(batch).readingsTotal)
  expect(blocks).toEqual([])
  expect(deadLetters).toMatchObject([
    { reason: 'larger_than_nats_takes', readingCount: 3_000, originalBytes: batch.length },
  ])
  expect(deadLetters[0]?.detail).toContain('max_payload')
})

test('what is no batch goes as it is, or its beginning', () => {
  const bytes = randomBytes(5_000)
  const record = encodeRecord({ agent: 'pi-1', receivedAtMs: 0, identity: undefined, batch: bytes })
  expect(outgoing(record, NATS_DEFAULT, 'backlog', none)?.payload).toEqual(bytes)
  expect(outgoing(record, 1_064, 'live', undefined)).toEqual({
    agent: 'pi-1',
    payload: bytes.subarray(0, 1_000),
    replaced: 'unreadable_and_cut',
  })
  expect(outgoing(bytes.subarray(0, 9), NATS_DEFAULT, 'live', undefined)).toBeUndefined()
})

test('a header that has no room for what waits here goes as it is: one batch must not hold up all others', () => {
  const own = () => ({ batches: 100, bytes: 7_000, drainSeconds: 12 })
  const full = makeBatch('pi-1', 7, { backlogBatches: Number.MAX_SAFE_INTEGER, backlogBytes: Number.MAX_SAFE_INTEGER })
  expect(outgoing(recordOf(full), NATS_DEFAULT, 'backlog', own)).toEqual({ agent: 'pi-1', payload: full })
})
