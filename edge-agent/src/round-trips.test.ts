import { getEventListeners } from 'node:events'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createRoundTrips, PINGS } from './round-trips.ts'

const NOW_MS = Date.UTC(2026, 5, 1)

/** Measures over a link whose trips, there and back, take so long; undefined: nothing comes back. */
async function measure(
  trips: ([there: number, back: number] | undefined)[],
  pongOf: (id: number, wallMs: number) => unknown = (id, wallMs) => ({ type: 'pong', id, wallMs, trusted: true }),
) {
  const clock = createSimulatedClock(0)
  await clock.advance(10_000)
  const roundTrips = createRoundTrips(clock)
  let sent = 0
  const publish = (payload: string) => {
    const { id } = JSON.parse(payload) as { id: number }
    const trip = trips[sent++ % trips.length]
    if (!trip) return
    clock.after(trip[0], () => {
      const pong = pongOf(id, NOW_MS + clock.monotonicMs())
      clock.after(trip[1], () => roundTrips.heard(Buffer.from(JSON.stringify(pong))))
    })
  }
  const measured = roundTrips.measure(publish, new AbortController().signal)
  await clock.advance(60_000)
  return { time: await measured, sent }
}

test('the shortest round trip counts, however lopsided the others are', async () => {
  const { time, sent } = await measure([
    [300, 10],
    [10, 900],
    [4, 8],
    [200, 200],
  ])
  expect(sent).toBe(PINGS)
  expect(time).toMatchObject({ errorMs: 6.5, trusted: true })
  expect(Math.abs((time?.offsetMs as number) - NOW_MS)).toBeLessThanOrEqual(6.5)
})

test('the offset is right within what is said of it', async () => {
  for (const trip of [
    [0, 0],
    [0, 500],
    [700, 0],
    [30, 40],
  ] as [number, number][]) {
    const { time } = await measure([trip])
    expect(Math.abs((time?.offsetMs as number) - NOW_MS)).toBeLessThanOrEqual(time?.errorMs as number)
  }
})

test('some pongs are lost: the others do', async () => {
  expect((await measure([undefined, [5, 5]])).time?.errorMs).toBe(5.5)
})

test('nobody answers, or nothing that makes sense: the round is over soon', async () => {
  expect(await measure([undefined])).toEqual({ time: undefined, sent: 2 })
  const id = 1
  for (const pong of [{}, { type: 'pong' }, { type: 'pong', id: -1, wallMs: 1, trusted: true }, { type: 'ping', id }])
    expect((await measure([[1, 1]], () => pong)).time).toBeUndefined()
  const other = (asked: number, wallMs: number) => ({ type: 'pong', id: asked + 1, wallMs, trusted: true })
  expect((await measure([[1, 1]], other)).time).toBeUndefined()
})

test('a gateway in 1970 is no help, whatever it says of itself', async () => {
  const lost = (asked: number) => ({ type: 'pong', id: asked, wallMs: 5_000, trusted: true })
  expect((await measure([[1, 1]], lost)).time).toBeUndefined()
})

test('a round leaves nothing behind on the connection, which may last for months', async () => {
  const clock = createSimulatedClock()
  const roundTrips = createRoundTrips(clock)
  const { signal } = new AbortController()
  const publish = (payload: string) => {
    const { id } = JSON.parse(payload) as { id: number }
    roundTrips.heard(Buffer.from(JSON.stringify({ type: 'pong', id, wallMs: clock.wallMs(), trusted: true })))
  }
  expect(await roundTrips.measure(publish, signal)).toBeDefined()
  expect(getEventListeners(signal, 'abort')).toEqual([])
  // Where Node keeps what `AbortSignal.any` made of a signal, for as long as the signal lives.
  const dependants = Object.getOwnPropertySymbols(signal).find(({ description }) => description === 'kDependantSignals')
  const kept = dependants && (signal as unknown as Record<symbol, Set<unknown> | undefined>)[dependants]
  expect(kept?.size ?? 0).toBe(0)
})
