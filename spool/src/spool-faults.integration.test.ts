/**
 * One history, and every operation on the disk in it once the last before the power goes, once refused, once failed, once
 * cut short, once flipped: afterwards the spool opens, has what it acknowledged, and takes more.
 */
import type { DiskFault } from '@tributary/runtime/testing'
import { describe, expect, it } from 'vitest'
import { createSpoolHarness, smallOptions } from './testing.ts'

/** Another one tries other tears: `SPOOL_SEED=1000 npx vitest run spool/src/spool-faults`. */
const SEED = Number(process.env['SPOOL_SEED'] ?? 0)

type Harness = ReturnType<typeof createSpoolHarness>

/** Once a fault has hit an opening or reading, the next attempt must work. */
async function again(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work()
    return false
  } catch {
    await work()
    return true
  }
}

async function history(harness: Harness): Promise<number> {
  let refused = 0
  const open = async () => {
    if (await again(() => harness.open())) refused += 1
    return harness.isOpen
  }
  if (!(await open())) return refused
  await harness.append(3)
  if (harness.isOpen) await harness.append(10)
  if (harness.isOpen) harness.markSent(8)
  if (harness.isOpen) await again(() => harness.readOn(1, 700))
  if (harness.isOpen) await harness.append(4, 600)
  if (harness.isOpen) harness.markSent(15)
  if (harness.isOpen) await harness.trim(14)
  if (harness.isOpen) await harness.close()
  if (!harness.isOpen && !(await open())) return refused
  await harness.append(6)
  if (harness.isOpen) await harness.pump(harness.clock.sleep(1_100))
  if (harness.isOpen) harness.reportLosses()
  if (harness.isOpen) await harness.append(2, 300)
  if (harness.isOpen) harness.markSent(17)
  // The live lane overtakes twice; then the beginning of what waits is given up, up to and into a sent range.
  if (harness.isOpen) harness.markSentRange(20, 21)
  if (harness.isOpen) harness.markSentRange(23, 24)
  if (harness.isOpen) await harness.pump(harness.clock.sleep(1_100))
  if (harness.isOpen) await harness.append(1, 200, { reserve: true })
  if (harness.isOpen) await again(() => harness.discard(20))
  if (harness.isOpen) await again(() => harness.readOn(19, 5_000))
  if (harness.isOpen) await harness.close()
  if (!harness.isOpen && !(await open())) return refused
  if (harness.isOpen) await harness.append(2, 300)
  if (harness.isOpen) await harness.append(1, 500, { reserve: true })
  if (harness.isOpen) await again(() => harness.discard(harness.spool.nextSequence - 2))
  if (harness.isOpen) harness.markSent(harness.spool.nextSequence - 1)
  if (harness.isOpen) await harness.trim(harness.spool.nextSequence - 2)
  if (harness.isOpen) await harness.close()
  return refused
}

const open = async (harness: Harness) => {
  for (let attempt = 0; !harness.isOpen && attempt < 3; attempt++) await again(() => harness.open())
  expect(harness.isOpen).toBe(true)
}

async function operationsOf(durabilityMs: number): Promise<number> {
  const harness = createSpoolHarness(1, { ...smallOptions, durabilityMs })
  await history(harness)
  return harness.disk.operations
}

describe.each([0, 250])('with %i ms of durability, at every operation of a history', (durabilityMs) => {
  it.each<DiskFault>(['crash', 'ENOSPC', 'EIO', 'short_write', 'bit_flip'])(
    '%s',
    async (fault) => {
      const count = await operationsOf(durabilityMs)
      let refused = 0
      let hit = 0
      for (let index = 0; index < count; index++) {
        const harness = createSpoolHarness(index + 1 + SEED, { ...smallOptions, durabilityMs })
        let what = ''
        const damage = fault === 'bit_flip'
        harness.disk.faultAt = (operation) => {
          if (operation.index !== index) return undefined
          hit += 1
          what = `${operation.kind} ${operation.path}`
          return fault
        }
        try {
          refused += await history(harness)
          // The power goes once more, while the spool mends what the first time left.
          const recovering = harness.disk.operations + 1 + (index % 40)
          if (fault === 'crash')
            harness.disk.faultAt = (operation) => (operation.index === recovering ? 'crash' : undefined)
          await open(harness)
          if (harness.isOpen && fault !== 'crash') harness.crash()
          harness.disk.faultAt = undefined
          await open(harness)
          await harness.verify({ damage })
          await harness.append(3)
          await harness.close()
          await open(harness)
          await harness.verify({ damage })
        } catch (error) {
          throw new Error(`${fault} at operation ${index} of ${count}, ${what}`, { cause: error })
        }
      }
      process.stdout.write(
        `spool, ${durabilityMs} ms: ${fault} tried at ${hit} of ${count} operations; ${refused} openings refused once\n`,
      )
      expect(hit).toBeGreaterThan(count * 0.9)
    },
    120_000,
  )
})
