import { getEventListeners } from 'node:events'
import { createLogger, createMetrics } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import { openSpool } from '@tributary/spool'
import { simulatedProcesses } from '@tributary/spool/testing'
import { expect, test } from 'vitest'
import { createRecordClaims } from './record-claims.ts'

const spoolWith = (records: number) => ({
  sentThrough: 0,
  sentRanges: [],
  nextSequence: records + 1,
  saveSent: async () => undefined,
})

test('what was held leaves nothing behind on the connection', async () => {
  const claims = createRecordClaims(spoolWith(10), createSimulatedClock())
  const connection = new AbortController()
  for (let i = 0; i < 3; i++) {
    const release = claims.take(5)
    const leaving = claims.leave(1, connection.signal)
    release?.()
    expect(await leaving).toBe(true)
    claims.arrived(1)
  }
  expect(getEventListeners(connection.signal, 'abort')).toEqual([])
})

test('what is held when the connection ends does not leave', async () => {
  const claims = createRecordClaims(spoolWith(10), createSimulatedClock())
  const connection = new AbortController()
  const release = claims.take(5)
  const leaving = claims.leave(1, connection.signal)
  connection.abort(new Error('the connection has ended'))
  release?.()
  await expect(leaving).rejects.toThrow('the connection has ended')
  expect(claims.take(5)).toBeTypeOf('function')
})

test('far more left within a second than the cursor tells after a crash: all of it counts as left', async () => {
  const disk = createFaultyFileSystem({ seed: 1 })
  const clock = createSimulatedClock()
  /** In far less than a second: nothing is written lazily. */
  const soon = async <T>(work: Promise<T>): Promise<T> => {
    let done = false
    void work.finally(() => {
      done = true
    })
    while (!done) await clock.advance(1)
    expect(clock.monotonicMs()).toBeLessThan(1_000)
    return work
  }
  const open = () =>
    openSpool(
      '/data/spool',
      { segmentBytesMax: 64 * 1024, bytesMax: 2 ** 20, durabilityMs: 0, freeBytesMin: 0 },
      {
        clock,
        log: createLogger('test', 'silent'),
        metrics: createMetrics('test'),
        fileSystem: disk.mount(),
        processes: simulatedProcesses(() => disk.crashes),
      },
    )
  const spool = await soon(open())
  await soon(Promise.all(Array.from({ length: 500 }, () => spool.append(Buffer.from('record')))))
  const claims = createRecordClaims(spool, clock, 20)
  const { signal } = new AbortController()
  const send = async () => {
    for (let sequence = 1; sequence <= 300; sequence++) {
      expect(await claims.leave(sequence, signal)).toBe(true)
      claims.arrived(sequence)
      // Ten are under way.
      spool.markSent(sequence - 10)
    }
  }
  await soon(send())
  disk.crash()
  const again = createRecordClaims(await soon(open()), clock, 20)
  expect(Array.from({ length: 300 }, (_, i) => i + 1).filter((sequence) => !again.mayHaveLeft(sequence))).toEqual([])
  expect(again.mayHaveLeft(400)).toBe(false)
})
