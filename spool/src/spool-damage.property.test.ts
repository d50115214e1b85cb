import { createRandom } from '@tributary/runtime'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createSpoolHarness, FOLDER } from './testing.ts'

const DAMAGES = ['flip', 'truncate', 'zero', 'garble', 'remove', 'lengthen', 'foreign', 'foreign_segment'] as const
type Damage = (typeof DAMAGES)[number]

interface Round {
  readonly appends: readonly number[]
  readonly sentShare: number
  readonly trimShare: number
  /** Given up without having been sent. */
  readonly discardShare: number
  readonly end: 'close' | 'crash'
  readonly damages: readonly Damage[]
}

const round: fc.Arbitrary<Round> = fc.record({
  appends: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 5 }),
  sentShare: fc.double({ min: 0, max: 1, noNaN: true }),
  trimShare: fc.double({ min: 0, max: 1, noNaN: true }),
  discardShare: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
  end: fc.constantFrom('close' as const, 'crash' as const),
  damages: fc.array(fc.constantFrom(...DAMAGES), { minLength: 1, maxLength: 3 }),
})

const quiet = { sentShare: 0, trimShare: 0, discardShare: 0, end: 'close' as const }
/** Histories that once found a mistake: reuse behind a damaged slot, a loss told under the wrong epoch. */
const SEEDS: [number, Round[]][] = [
  [
    1704433745,
    [
      { ...quiet, appends: [6, 3], damages: ['flip'] },
      { ...quiet, appends: [8, 1, 2], damages: ['flip'] },
      { ...quiet, appends: [11, 11, 11], damages: ['truncate', 'flip'] },
    ],
  ],
  [
    0,
    [
      { ...quiet, appends: [1], damages: ['flip', 'remove', 'flip'] },
      { ...quiet, appends: [1], damages: ['flip'] },
    ],
  ],
  [
    2147475439,
    [
      { ...quiet, appends: [1], damages: ['flip'] },
      { ...quiet, appends: [3, 5, 4, 9, 8], damages: ['flip', 'flip', 'remove'] },
    ],
  ],
]

function damage(harness: ReturnType<typeof createSpoolHarness>, kind: Damage, seed: number): void {
  const { disk } = harness
  const random = createRandom(seed)
  const files = disk.files().filter((path) => path.startsWith(`${FOLDER}/`) && !path.includes('quarantine'))
  const path = files[random.below(files.length)]
  if (kind === 'foreign') disk.put(`${FOLDER}/notes-${seed}.txt`, Buffer.from('buy milk'))
  else if (kind === 'foreign_segment')
    disk.put(
      `${FOLDER}/${String(random.below(1_000_000) + 1).padStart(20, '0')}.seg`,
      Buffer.alloc(random.below(900), 7),
    )
  if (!path || kind.startsWith('foreign')) return
  const bytes = Buffer.from(disk.contents(path) ?? [])
  const at = random.below(bytes.length + 1)
  const length = Math.min(bytes.length - at, random.below(600))
  if (kind === 'remove') disk.discard(path)
  else if (kind === 'truncate') disk.put(path, bytes.subarray(0, at))
  else if (kind === 'lengthen')
    disk.put(path, Buffer.concat([bytes, Buffer.alloc(random.below(2_000), random.below(256))]))
  else {
    if (kind === 'flip' && at < bytes.length) bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at)
    if (kind === 'zero') bytes.fill(0, at, at + length)
    if (kind === 'garble') for (let i = at; i < at + length; i++) bytes.writeUInt8(random.below(256), i)
    disk.put(path, bytes)
  }
}

async function play(seed: number, rounds: readonly Round[]): Promise<void> {
  const harness = createSpoolHarness(seed)
  await harness.open()
  for (const [i, one] of rounds.entries()) {
    for (const count of one.appends) await harness.append(count)
    harness.markSent(Math.floor(one.sentShare * harness.spool.nextSequence))
    await harness.trim(Math.floor(one.trimShare * harness.spool.nextSequence))
    harness.markSentRange(
      Math.ceil((0.3 + one.sentShare / 2) * harness.spool.nextSequence),
      harness.spool.nextSequence - 2,
    )
    await harness.append(1, 0, { reserve: true })
    await harness.discard(Math.floor(one.discardShare * (harness.spool.nextSequence - 1)))
    if (i % 2 === 1) harness.reportLosses()
    if (one.end === 'close') await harness.close()
    else {
      // Beyond a second after the last append the cursor knows how far they went.
      await harness.clock.advance(2_500)
      harness.crash()
    }
    for (const [j, kind] of one.damages.entries()) damage(harness, kind, seed + 100 * i + j)
    await harness.open({ damage: true })
    expect(harness.isOpen).toBe(true)
    await harness.verify({ damage: true })
    await harness.append(3)
    await harness.verify({ damage: true })
  }
}

it('starts whatever was done to its files, names what is lost, and gives out no number twice', async () => {
  await fc.assert(fc.asyncProperty(fc.nat(), fc.array(round, { minLength: 1, maxLength: 4 }), play), {
    numRuns: Number(process.env['SPOOL_RUNS'] ?? 200),
    examples: SEEDS,
  })
}, 120_000)
