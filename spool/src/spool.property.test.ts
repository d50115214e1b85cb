import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createSpoolHarness, smallOptions } from './testing.ts'

type Step =
  | { do: 'append' | 'append_reserve'; count: number; bytes: number }
  | { do: 'read'; from: number; bytesMax: number }
  | { do: 'send' | 'trim' | 'discard'; share: number }
  | { do: 'send_range'; share: number; count: number }
  | { do: 'wait'; ms: number }
  | { do: 'fill' | 'report' | 'reopen' | 'crash' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('append' as const, 'append' as const, 'append' as const, 'append_reserve' as const),
      count: fc.integer({ min: 1, max: 12 }),
      bytes: fc.integer({ min: 0, max: 700 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      from: fc.nat(200),
      bytesMax: fc.integer({ min: 1, max: 3000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('send' as const, 'trim' as const, 'discard' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('send_range' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      count: fc.integer({ min: 1, max: 9 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 2000 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('fill' as const, 'report' as const, 'reopen' as const, 'crash' as const),
    }),
  },
)

async function play(seed: number, durabilityMs: number, bytesMax: number, history: readonly Step[]): Promise<void> {
  const harness = createSpoolHarness(seed, { ...smallOptions, durabilityMs, bytesMax })
  await harness.open()
  for (const one of history) {
    const spool = harness.spool
    const at = (share: number) => Math.floor(share * spool.nextSequence)
    if (one.do === 'append') await harness.append(one.count, one.bytes)
    else if (one.do === 'append_reserve') await harness.append(one.count, one.bytes, { reserve: true })
    else if (one.do === 'read') await harness.readOn(one.from, one.bytesMax)
    else if (one.do === 'send') harness.markSent(at(one.share))
    else if (one.do === 'send_range') harness.markSentRange(at(one.share), at(one.share) + one.count)
    else if (one.do === 'trim') await harness.trim(at(one.share))
    else if (one.do === 'discard') await harness.discard(at(one.share))
    else if (one.do === 'wait') await harness.clock.advance(one.ms)
    else if (one.do === 'report') harness.reportLosses()
    else if (one.do === 'fill') {
      // The disk is full for a while, in the middle of an append.
      harness.disk.bytesMax = 0
      const waiting = harness.append(3)
      await new Promise((resolve) => setImmediate(resolve))
      harness.disk.bytesMax = Number.POSITIVE_INFINITY
      await waiting
    } else if (one.do === 'reopen') {
      const { sentThrough, sentRanges, trimmedThrough, nextSequence } = spool
      await harness.close()
      await harness.open()
      expect(harness.spool).toMatchObject({ sentThrough, sentRanges, trimmedThrough, nextSequence })
      await harness.verify()
    } else {
      // Appends are under way as the power goes.
      const waiting = harness.append(5)
      for (let turns = seed % 30; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
      harness.crash()
      await waiting
      await harness.open()
      await harness.verify()
    }
  }
  harness.crash()
  await harness.open()
  await harness.verify()
}

it('equals an array, whatever is done to it and whenever the power goes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(),
      fc.constantFrom(0, 50, 250),
      fc.constantFrom(6 * 1024, 256 * 1024),
      fc.array(step, { minLength: 3, maxLength: 30 }),
      play,
    ),
    {
      numRuns: Number(process.env['SPOOL_RUNS'] ?? 150),
    },
  )
}, 120_000)
