import { createTapFrameReader, TAP_SIGN_OF_LIFE_MS, type TapFrame } from '@tributary/protocol'
import { createMetrics } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTap, TAP_BYTES_MAX, TAP_READERS_MAX, type Tap } from './tap.ts'

const signal = new AbortController().signal
let clock: ReturnType<typeof createSimulatedClock>
let tap: Tap

beforeEach(async () => {
  clock = createSimulatedClock()
  tap = createTap({ clock, metrics: createMetrics('gateway') })
  await tap.start(signal)
})
afterEach(() => tap.stop(signal))

/** A reader that takes what it is given, or stands still. */
function reader() {
  const read = createTapFrameReader()
  const frames: TapFrame[] = []
  const state = { frames, pieces: 0, stands: false, unsent: 0 }
  const end = tap.attach({
    write(bytes) {
      state.pieces += 1
      state.unsent = state.stands ? bytes.length : 0
      frames.push(...read(bytes))
    },
    get unsentBytes() {
      return state.unsent
    },
  })
  return { state, end }
}
const batchesOf = (frames: readonly TapFrame[]) => frames.flatMap(({ batch }) => (batch ? [batch[0]] : []))

test('a reader gets the batches in order, in few pieces', async () => {
  const { state } = reader()
  for (let i = 0; i < 50; i++) tap.offer(Uint8Array.of(i))
  await clock.advance(100)
  expect(batchesOf(state.frames)).toEqual(Array.from({ length: 50 }, (_, i) => i))
  expect(state.pieces).toBe(1)
})

test('who stands still loses batches, is told how many, and harms nobody else', async () => {
  const slow = reader()
  const fast = reader()
  slow.state.stands = true
  const batch = new Uint8Array(100_000)
  for (let i = 0; i < 40; i++) {
    tap.offer(batch.fill(i))
    await clock.advance(100)
  }
  expect(batchesOf(fast.state.frames)).toEqual(Array.from({ length: 40 }, (_, i) => i))
  expect(fast.state.frames.at(-1)?.dropped).toBe(0)
  const kept = 1 + Math.floor(TAP_BYTES_MAX / batch.length)
  expect(tap.dropped).toBe(40 - kept)

  slow.state.stands = false
  slow.state.unsent = 0
  await clock.advance(100)
  tap.offer(Uint8Array.of(99))
  await clock.advance(100)
  expect(slow.state.frames.at(-1)).toMatchObject({ dropped: 40 - kept })
  expect(batchesOf(slow.state.frames).length).toBe(kept + 1)
})

test('a silent tap gives signs of life; one that nobody reads keeps nothing', async () => {
  tap.offer(Uint8Array.of(1))
  const { state, end } = reader()
  await clock.advance(TAP_SIGN_OF_LIFE_MS * 3)
  expect(batchesOf(state.frames)).toEqual([])
  expect(state.frames.length).toBeGreaterThanOrEqual(3)
  end?.()
  const before = state.frames.length
  await clock.advance(TAP_SIGN_OF_LIFE_MS * 3)
  expect(state.frames.length).toBe(before)
})

test('there are so many readers and no more', () => {
  const all = Array.from({ length: TAP_READERS_MAX + 1 }, reader)
  expect(all.map(({ end }) => end !== undefined)).toEqual([...all.slice(1).map(() => true), false])
  all[0]?.end?.()
  expect(reader().end).toBeDefined()
})
