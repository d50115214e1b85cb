import { decodeHeader } from '@tributary/protocol'
import { createLogger, createMetrics } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import { openSpool } from '@tributary/spool'
import { expect, test } from 'vitest'
import { encodeRecord } from './record.ts'
import { createResend } from './resend.ts'
import { createStoredIndex } from './stored.ts'
import type { Stream } from './stream.ts'
import { EPOCH, makeBatch } from './testing.ts'

const log = createLogger('gateway', 'silent')
const never = new AbortController().signal

test('of all that was sent what is not in the store goes again; what nobody can recognise only when it is lost', async () => {
  const clock = createSimulatedClock()
  const metrics = createMetrics('gateway')
  const options = { segmentBytesMax: 8192, bytesMax: 65_536, durabilityMs: 0, freeBytesMin: 0 }
  const fileSystem = createFaultyFileSystem({ seed: 1 }).mount()
  const spool = await openSpool('/spool', options, { clock, log, metrics, fileSystem })
  const index = createStoredIndex()
  const noise = Buffer.from('no batch')
  for (let sequence = 1; sequence <= 6; sequence++) {
    const isNoise = sequence === 5
    const batch = isNoise ? noise : makeBatch('pi-1', sequence)
    const identity = isNoise ? undefined : { epoch: EPOCH, sequence, readingCount: 3 }
    const at = await spool.append(encodeRecord({ agent: 'pi-1', receivedAtMs: 0, identity, batch }))
    index.add(at, identity && { agent: 'pi-1', epoch: EPOCH, sequence })
  }
  spool.markSent(5)
  index.stored('pi-1', EPOCH, 1, [[3, 3]])
  const published: (number | string)[] = []
  const stream = {
    payloadBytesMax: 1e6,
    waitUntilReady: async () => undefined,
    publish: async (_agent: string, payload: Uint8Array) =>
      void published.push(noise.equals(payload) ? 'noise' : decodeHeader(payload).sequence),
  } as unknown as Stream
  const resend = createResend(spool, index, stream, {
    onGone: () => undefined,
    mayDrain: () => true,
    backlogOf: () => ({ batches: 0, bytes: 0, drainSeconds: 0 }),
    clock,
    log,
    metrics,
  })
  await resend.start(never)
  resend.requestAll(false)
  resend.requestAll(false)
  await clock.advance(10)
  expect(published.splice(0)).toEqual([2, 4])
  resend.requestAll(true)
  await clock.advance(10)
  expect(published).toEqual([2, 4, 'noise'])
  await resend.stop(never)
  await spool.close()
})
