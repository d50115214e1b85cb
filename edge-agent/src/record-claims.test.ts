import { getEventListeners } from 'node:events'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createRecordClaims } from './record-claims.ts'

const spoolWith = (records: number) => ({ sentThrough: 0, sentRanges: [], nextSequence: records + 1 })

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
