import { strict as assert } from 'node:assert'
import { createRandom } from '@tributary/runtime'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { PumpLane } from './lane.ts'
import { createPump } from './pump.ts'
import { createSpoolHarness, smallOptions } from './testing.ts'

type Step =
  | { do: 'append'; count: number }
  | { do: 'pass'; ms: number }
  | { do: 'outage'; ms: number }
  | { do: 'hold' | 'trim' | 'discard' | 'restart' | 'crash' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 400 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('outage' as const), ms: fc.integer({ min: 10, max: 900 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('hold' as const, 'trim' as const, 'discard' as const, 'restart' as const, 'crash' as const),
    }),
  },
)

const LIVE_MAX = 4
const BACKLOG_MAX = 6
const BYTES_MAX = 1_500
const RECORD_BYTES_MAX = 300

interface Link {
  readonly failureIn: number
  readonly overtakeFrom: number
}

async function play(seed: number, { failureIn, overtakeFrom }: Link, history: readonly Step[]): Promise<void> {
  const random = createRandom(seed)
  const harness = createSpoolHarness(seed, { ...smallOptions, durabilityMs: 50 })
  const { clock } = harness
  /** What the other end has, by `epoch/sequence`; it may have it although nobody was told so. */
  const received = new Set<string>()
  let discardedThrough = 0
  let down = false
  let held = false
  const broken: ((error: Error) => void)[] = []
  let stop = new AbortController()
  let ended: Promise<unknown> = Promise.resolve()

  /** A process with its pump: runs again after each failure, as uplink and forwarder do. */
  const start = async () => {
    await harness.open()
    const { spool } = harness
    stop = new AbortController()
    const { signal } = stop
    let flights = { live: 0, backlog: 0, bytes: 0 }
    let last = { live: 0, backlog: 0 }
    const pump = createPump(
      spool,
      {
        inFlightMax: LIVE_MAX,
        backlogInFlightMax: BACKLOG_MAX,
        inFlightBytesMax: BYTES_MAX,
        overtakeFrom,
        newestRecords: 2,
      },
      {
        clock,
        mayDrain: () => !held,
        async send({ sequence, payload }, lane: PumpLane) {
          assert(sequence > last[lane], `${sequence} after ${last[lane]} in the lane ${lane}`)
          last[lane] = sequence
          const of = flights
          of[lane] += 1
          of.bytes += payload.length
          assert(of.live <= LIVE_MAX && of.backlog <= BACKLOG_MAX, `${of.live} and ${of.backlog} in flight`)
          assert(of.bytes <= BYTES_MAX + RECORD_BYTES_MAX, `${of.bytes} bytes in flight`)
          try {
            if (down) await new Promise((_, reject) => broken.push(reject))
            await clock.sleep(1 + random.below(60))
            if (down || random.below(failureIn) === 0) {
              if (random.below(2) === 0) received.add(`${spool.epoch}/${sequence}`)
              throw new Error('not confirmed')
            }
            received.add(`${spool.epoch}/${sequence}`)
            harness.maySay(sequence)
          } finally {
            of[lane] -= 1
            of.bytes -= payload.length
          }
        },
      },
    )
    ended = (async () => {
      while (!signal.aborted) {
        flights = { live: 0, backlog: 0, bytes: 0 }
        last = { live: 0, backlog: 0 }
        await pump
          .run(signal)
          .catch((error) => assert(signal.aborted || /not confirmed|link/.test(String(error)), error))
        assert(signal.aborted || (flights.live === 0 && flights.backlog === 0), 'it ended before all had settled')
        await clock.sleep(20, signal).catch(() => undefined)
      }
    })()
    ended.catch((error) => {
      throw error
    })
  }
  const breakLink = () => {
    down = true
    for (const reject of broken.splice(0)) reject(new Error('link down'))
  }
  const halt = async () => {
    stop.abort(new Error('stopped'))
    breakLink()
    await clock.advance(100)
    await ended
  }
  const check = () => {
    const { spool } = harness
    for (const { from, to } of [{ from: 1, to: spool.sentThrough }, ...spool.sentRanges])
      for (let n = Math.max(from, discardedThrough + 1); n <= to; n++)
        assert(received.has(`${spool.epoch}/${n}`), `${n} was never received and counts as sent`)
  }

  await start()
  for (const one of history) {
    down = false
    if (one.do === 'append') await harness.append(one.count)
    else if (one.do === 'pass') await clock.advance(one.ms)
    else if (one.do === 'outage') {
      breakLink()
      await harness.append(random.below(50))
      await clock.advance(one.ms)
      breakLink()
    } else if (one.do === 'hold') held = !held
    else if (one.do === 'trim') await harness.trim(harness.spool.sentThrough)
    else if (one.do === 'discard') {
      const through = Math.min(harness.spool.sentThrough + random.below(10), harness.spool.nextSequence - 1)
      discardedThrough = Math.max(discardedThrough, through)
      await harness.discard(through)
    } else {
      const crashes = one.do === 'crash'
      if (crashes) harness.crash()
      await halt()
      if (!crashes) await harness.close()
      down = false
      await start()
    }
    check()
  }
  // The link is good from now on: everything arrives, and the lanes are one again.
  down = false
  held = false
  failureIn = Number.POSITIVE_INFINITY
  const all = harness.spool.nextSequence - 1
  for (let turns = 0; harness.spool.sentThrough < all; turns++) {
    assert(turns < 1_000, `it stays at ${harness.spool.sentThrough} of ${all}`)
    await clock.advance(100)
  }
  check()
  assert.deepEqual(harness.spool.sentRanges, [])
  await halt()
  await harness.verify()
}

it('sends everything at least once, skips nothing, and claims nothing, whatever fails', async () => {
  const link = fc.record({ failureIn: fc.constantFrom(5, 40, 1_000), overtakeFrom: fc.constantFrom(3, 10, 10_000) })
  await fc.assert(fc.asyncProperty(fc.nat(), link, fc.array(step, { minLength: 3, maxLength: 25 }), play), {
    numRuns: Number(process.env['SPOOL_RUNS'] ?? 100),
  })
}, 120_000)

/** @returns what a drain of a backlog beside a live stream did, over a way with a pace of its own */
async function drain(
  way: (nowMs: number) => number,
  { backlog, inFlightMax }: { backlog: number; inFlightMax: number },
) {
  const harness = createSpoolHarness(1, {
    ...smallOptions,
    segmentBytesMax: 64 * 1024,
    bytesMax: 4 * 2 ** 20,
    durabilityMs: 10,
  })
  const { clock } = harness
  await harness.open()
  const { spool } = harness
  await harness.append(backlog, 60)
  const appendedMs = new Map<number, number>()
  const delaysMs: number[] = []
  const stop = new AbortController()
  const pump = createPump(
    spool,
    { inFlightMax: 16, backlogInFlightMax: inFlightMax, overtakeFrom: 50 },
    {
      clock,
      async send({ sequence }) {
        await clock.sleep(way(clock.monotonicMs()))
        const fromMs = appendedMs.get(sequence)
        if (fromMs !== undefined) delaysMs.push(clock.monotonicMs() - fromMs)
      },
    },
  )
  const startedMs = clock.monotonicMs()
  const running = pump.run(stop.signal).catch(() => undefined)
  let drainedMs = Number.POSITIVE_INFINITY
  let widest = 0
  const saidSeconds: number[] = []
  while (clock.monotonicMs() - startedMs < 60_000 && drainedMs === Number.POSITIVE_INFINITY) {
    appendedMs.set(spool.nextSequence, clock.monotonicMs())
    void spool.append(Buffer.alloc(60))
    await clock.advance(100)
    widest = Math.max(widest, pump.window)
    saidSeconds.push(pump.drainSeconds)
    if (spool.sentThrough >= backlog) drainedMs = clock.monotonicMs() - startedMs
  }
  stop.abort(new Error('measured'))
  await running
  delaysMs.sort((a, b) => a - b)
  const p99Ms = delaysMs[Math.floor(delaysMs.length * 0.99)] ?? 0
  process.stdout.write(`pump: ${backlog} drained in ${drainedMs} ms, window up to ${widest}, live p99 ${p99Ms} ms\n`)
  return {
    drainedMs,
    widest,
    saidSeconds,
    p99Ms,
    live: delaysMs.length,
  }
}

it('drains at nearly the pace of a narrow way, and what is live hardly waits', async () => {
  // One record in 10 ms, 20 ms there and back: 3,000 records beside ten a second take 33 s at least.
  let freeMs = 0
  const narrow = (nowMs: number) => {
    freeMs = Math.max(freeMs, nowMs) + 10
    return freeMs - nowMs + 20
  }
  const { drainedMs, p99Ms, live, saidSeconds } = await drain(narrow, {
    backlog: 3_000,
    inFlightMax: 500,
  })
  expect(live).toBeGreaterThan(300)
  // With all that may be in flight it would be five seconds and more.
  expect(p99Ms).toBeLessThan(500)
  expect(drainedMs).toBeLessThan(40_000)
  // Half way through, about half of the time is left.
  expect(saidSeconds[170]).toBeGreaterThan(10)
  expect(saidSeconds[170]).toBeLessThan(25)
}, 60_000)

it('takes the group commit of the other end for no jam', async () => {
  const grouped = (nowMs: number) => 255 - (nowMs % 250)
  const { drainedMs, widest, p99Ms } = await drain(grouped, { backlog: 3_000, inFlightMax: 48 })
  expect(widest).toBe(48)
  expect(drainedMs).toBeLessThan(35_000)
  expect(p99Ms).toBeLessThan(400)
}, 60_000)
