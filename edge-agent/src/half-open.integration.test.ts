/**
 * Links that are silent: no FIN, no RST, nothing. Noticed within ten seconds while something waits for its PUBACK, and within one
 * and a half times the keepalive when nothing does; what was sent into the silence is sent again.
 */
import { type Clock, createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool } from '@tributary/spool'
import { afterEach, describe, expect, test } from 'vitest'
import { appendBatch, startGateway, startRelay, temporaryFolder, until, uplinkConfig } from './testing.ts'
import { createUplink } from './uplink.ts'

const clock = systemClock
const log = createLogger('test', 'silent')
const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})
async function openTestSpool(): Promise<Spool> {
  const limits = { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 26, durabilityMs: 0, freeBytesMin: 0 }
  const spool = await openSpool(temporaryFolder(), limits, { clock, log, metrics: createMetrics('test') })
  cleanUps.push(() => spool.close())
  return spool
}
async function linkWith(keepalive: string) {
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const relay = await startRelay(gateway.port)
  cleanUps.push(() => relay.stop())
  const spool = await openTestSpool()
  const config = uplinkConfig(relay.port, { gateway: { keepalive } })
  const uplink = createUplink(config, { spool, clock, log, onSent: () => undefined })
  await uplink.start(AbortSignal.timeout(1_000))
  cleanUps.push(() => uplink.stop(AbortSignal.abort()))
  await appendBatch(spool)
  await until('sent', () => spool.sentThrough === 1)
  return { gateway, relay, spool, uplink }
}

describe.each(['both', 'toGateway', 'toAgent'] as const)('silent in direction %s', (direction) => {
  test('an idle link is noticed by keepalive, and a batch goes over the next one', async () => {
    const { relay, spool, uplink } = await linkWith('2s')
    const startedMs = clock.monotonicMs()
    relay.silence(direction)
    await until('noticed', () => uplink.detail.toLowerCase().includes('keepalive'), 10_000)
    // One and a half times the keepalive, and the pause of half a second before the next connection is not part of it.
    expect(clock.monotonicMs() - startedMs).toBeLessThan(3_500)
    await appendBatch(spool)
    await until('sent', () => spool.sentThrough === 2)
  })

  test('a link with something in flight is noticed by the missing PUBACK, and it is sent again', async () => {
    const { gateway, relay, spool, uplink } = await linkWith('60s')
    const startedMs = clock.monotonicMs()
    relay.silence(direction)
    for (let i = 0; i < 30; i++) await appendBatch(spool)
    await until('noticed', () => uplink.detail.includes('no answer'), 15_000)
    expect(clock.monotonicMs() - startedMs).toBeLessThan(11_500)
    await until('sent', () => spool.sentThrough === 31)
    expect(gateway.batches.map(({ header }) => header.sequence)).toEqual(Array.from({ length: 31 }, (_, i) => i + 1))
    expect(uplink.reconnects).toBe(1)
  })
})

test('links that held and went silent: the next attempt comes soon, however often that happened before', async () => {
  const fast: Clock = {
    ...clock,
    monotonicMs: () => clock.monotonicMs() * 50,
    sleep: (delayMs, signal) => clock.sleep(delayMs / 50, signal),
    after: (delayMs, callback) => clock.after(delayMs / 50, callback),
  }
  const delaysMs: number[] = []
  const write = (line: string) => {
    const { delayMs } = JSON.parse(line) as { delayMs?: number }
    if (delayMs !== undefined) delaysMs.push(delayMs)
  }
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  gateway.mute = true
  const spool = await openTestSpool()
  await appendBatch(spool)
  const hearing = createLogger('test', 'debug', { write })
  const uplink = createUplink(uplinkConfig(gateway.port), { spool, clock: fast, log: hearing, onSent: () => undefined })
  await uplink.start(AbortSignal.timeout(1_000))
  cleanUps.push(() => uplink.stop(AbortSignal.abort()))
  await until('silent five times', () => delaysMs.length === 5)
  expect(Math.max(...delaysMs)).toBeLessThanOrEqual(500)
})
