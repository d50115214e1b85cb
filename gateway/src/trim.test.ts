import { createLogger, createMetrics } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import { openSpool } from '@tributary/spool'
import { expect, test } from 'vitest'
import { createMarks } from './marks.ts'
import { encodeRecord } from './record.ts'
import { recoverReceived } from './recover.ts'
import { createStoredIndex } from './stored.ts'
import { createStoredRelay } from './stored-relay.ts'
import { EPOCH, makeBatch, SITE } from './testing.ts'
import { createTrim, STUCK_MS } from './trim.ts'
import { createWaiting } from './waiting.ts'

const log = createLogger('gateway', 'silent')
const never = new AbortController().signal

/** The parts of a gateway that let go of what is stored, on a disk in memory. */
async function startOn(disk = createFaultyFileSystem({ seed: 1 })) {
  const clock = createSimulatedClock()
  const metrics = createMetrics('gateway')
  const fileSystem = disk.mount()
  await fileSystem.makeFolder('/g')
  const options = { segmentBytesMax: 4096, bytesMax: 65_536, durabilityMs: 0, freeBytesMin: 0 }
  const spool = await openSpool('/g/spool', options, { clock, log, metrics, fileSystem })
  const marks = createMarks('/g/spool.marks', spool.epoch, { log, fileSystem })
  const index = createStoredIndex()
  const waiting = createWaiting()
  await marks.load()
  await recoverReceived(spool, { marks, index, waiting, log }, never)
  const relay = createStoredRelay({
    gatewayEpoch: spool.epoch,
    knownThrough: marks.latest,
    isConnected: () => false,
    publish: () => false,
    clock,
  })
  let stuck = 0
  const trimming = { site: SITE, everyMs: 1_000, onStuck: () => stuck++ }
  const trim = createTrim(spool, index, marks, relay, trimming, { clock, log, metrics })
  await trim.start(never)
  return {
    disk,
    clock,
    spool,
    get stuck() {
      return stuck
    },
    async send(sequence: number) {
      const identity = { agent: 'pi-1', epoch: EPOCH, sequence }
      const batch = makeBatch('pi-1', sequence)
      const at = await spool.append(
        encodeRecord({ agent: 'pi-1', receivedAtMs: 0, identity: { ...identity, readingCount: 3 }, batch }),
      )
      index.add(at, identity)
      marks.add('pi-1', EPOCH, sequence)
      spool.markSent(at)
    },
    sayStored: (sequence: number) =>
      trim.onStored(
        Buffer.from(JSON.stringify({ site: SITE, watermarks: [{ agent: 'pi-1', epoch: EPOCH, sequence }] })),
      ),
    async end() {
      const ended = trim.stop(never)
      await clock.advance(1_000)
      await ended
      await spool.close()
    },
  }
}

test('what was sent and is not in the store after ten minutes is sent again, and again while nothing moves', async () => {
  const gateway = await startOn()
  await gateway.clock.advance(2 * STUCK_MS)
  expect(gateway.stuck, 'nothing was sent').toBe(0)
  await gateway.send(1)
  await gateway.send(2)
  await gateway.clock.advance(STUCK_MS - 2_000)
  expect(gateway.stuck).toBe(0)
  gateway.sayStored(1)
  await gateway.clock.advance(4_000)
  expect(gateway.stuck).toBe(1)
  await gateway.clock.advance(STUCK_MS)
  expect(gateway.stuck).toBe(2)
  gateway.sayStored(2)
  await gateway.clock.advance(2 * STUCK_MS)
  expect(gateway.stuck).toBe(2)
  expect(gateway.spool.trimmedThrough).toBe(2)
  await gateway.end()
})

test('what was told before a restart need not be told again', async () => {
  const before = await startOn()
  for (const sequence of [1, 2, 3]) await before.send(sequence)
  before.sayStored(3)
  await before.end()
  const after = await startOn(before.disk)
  await after.clock.advance(2_000)
  expect(after.spool.trimmedThrough).toBe(3)
  await after.end()
})
