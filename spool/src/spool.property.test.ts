import fc from 'fast-check'
import { it } from 'vitest'
import { createSpoolHarness, smallOptions } from './testing.ts'

type Step =
  | { do: 'append'; count: number; bytes: number }
  | { do: 'read'; from: number; bytesMax: number }
  | { do: 'send' | 'trim'; share: number }
  | { do: 'wait'; ms: number }
  | { do: 'fill' | 'report' | 'reopen' | 'crash' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
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
      do: fc.constantFrom('send' as const, 'trim' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
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

async function play(seed: number, durabilityMs: number, history: readonly Step[]): Promise<void> {
  const harness = createSpoolHarness(seed, { ...smallOptions, durabilityMs })
  await harness.open()
  for (const one of history) {
    const spool = harness.spool
    if (one.do === 'append') await harness.append(one.count, one.bytes)
    else if (one.do === 'read') await harness.readOn(one.from, one.bytesMax)
    else if (one.do === 'send') harness.markSent(Math.floor(one.share * spool.nextSequence))
    else if (one.do === 'trim') await harness.trim(Math.floor(one.share * spool.nextSequence))
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
      await harness.close()
      await harness.open()
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
    fc.asyncProperty(fc.nat(), fc.constantFrom(0, 50, 250), fc.array(step, { minLength: 3, maxLength: 30 }), play),
    {
      numRuns: Number(process.env['SPOOL_RUNS'] ?? 150),
    },
  )
}, 120_000)
