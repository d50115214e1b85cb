import { describe, expect, it } from 'vitest'
import { segmentName } from './segment.ts'
import { SpoolFullError } from './spool-full-error.ts'
import { createSpoolHarness, FOLDER, smallOptions } from './testing.ts'

async function started(seed: number, options = smallOptions) {
  const harness = createSpoolHarness(seed, options)
  await harness.open()
  return harness
}
const damaged = (harness: ReturnType<typeof createSpoolHarness>, firstSequence: number) => {
  const path = `${FOLDER}/${segmentName(firstSequence)}`
  harness.disk.put(path, Buffer.from(harness.disk.contents(path) ?? []).fill(0, 60, 400))
}

describe('the reserve', () => {
  it('is left by ordinary appends, and lets what makes room in; then ordinary ones go on', async () => {
    const harness = await started(1, { ...smallOptions, bytesMax: 8 * 1024 })
    for (let before = 0; before !== harness.spool.nextSequence; ) {
      before = harness.spool.nextSequence
      await harness.append(1, 150)
    }
    const { spool } = harness
    const used = spool.bytesUsed
    expect(used).toBeLessThanOrEqual(7 * 1024)
    expect(used).toBeGreaterThan(6 * 1024)
    await expect(spool.append(Buffer.alloc(150))).rejects.toThrow(SpoolFullError)
    const next = spool.nextSequence
    await harness.append(1, 700, { reserve: true })
    expect(spool.nextSequence).toBe(next + 1)
    await expect(spool.append(Buffer.alloc(700), { reserve: true })).rejects.toThrow(SpoolFullError)
    const oldest = spool.oldestSegmentThrough as number
    await harness.discard(oldest)
    expect(spool).toMatchObject({ firstSequence: oldest + 1, sentThrough: oldest, trimmedThrough: oldest })
    await harness.discard(spool.oldestSegmentThrough as number)
    expect(spool.bytesUsed).toBeLessThan(used)
    await harness.append(1, 150)
    expect(spool.nextSequence).toBe(next + 2)
    await harness.verify()
  })

  it('may be taken of what must stay free on the disk', async () => {
    const harness = await started(2, { ...smallOptions, freeBytesMin: 20_000 })
    const used = harness.disk.files().reduce((sum, path) => sum + (harness.disk.contents(path)?.length ?? 0), 0)
    harness.disk.bytesMax = used + 20_500
    // It is looked at once a second, as something is appended.
    await harness.pump(harness.clock.sleep(1_100))
    await harness.append(1, 10)
    await expect(harness.spool.append(Buffer.alloc(900))).rejects.toThrow(SpoolFullError)
    expect(await harness.pump(harness.spool.append(Buffer.alloc(900), { reserve: true }))).toBe(2)
    await harness.close()
  })

  it('has nothing to give back when only the last two segments are left', async () => {
    const harness = await started(3)
    await harness.append(3)
    expect(harness.spool.oldestSegmentThrough).toBeUndefined()
  })
})

describe('a discarded prefix', () => {
  it('is not told as a loss: not what was found before, not what is found later, not after a restart', async () => {
    const harness = await started(4)
    await harness.append(40)
    damaged(harness, 1)
    await harness.readOn(1, 5_000)
    const { spool } = harness
    const [first] = spool.losses
    expect(first).toMatchObject({ fromSequence: 1 })
    const through = first?.toSequence ?? 0
    // In the middle of what is lost.
    await harness.discard(through - 1)
    expect(spool.losses).toMatchObject([{ fromSequence: through, toSequence: through }])
    spool.lossesReported()
    await harness.discard(25)
    expect(spool.losses).toEqual([])
    const [segment] = harness.disk.files().filter((path) => path.endsWith('.seg'))
    damaged(harness, Number(segment?.slice(-24, -4)))
    await harness.readOn(1, 5_000)
    expect(spool.losses.every(({ fromSequence }) => fromSequence > 25)).toBe(true)
    harness.crash()
    await harness.open()
    expect(harness.spool).toMatchObject({ sentThrough: 25, trimmedThrough: 25, losses: [] })
    await harness.verify({ damage: true })
  })

  it('stays gone when the power goes at once, though no segment was removed', async () => {
    const harness = await started(10)
    await harness.append(3)
    await harness.discard(2)
    harness.crash()
    await harness.open()
    expect(harness.spool).toMatchObject({ sentThrough: 2, trimmedThrough: 2, nextSequence: 4, losses: [] })
  })

  it('keeps what was shown of a loss and is not discarded, to be reported once', async () => {
    const harness = await started(5)
    await harness.append(40)
    damaged(harness, 1)
    await harness.readOn(1, 5_000)
    const { spool } = harness
    const through = spool.losses[0]?.toSequence ?? 0
    const shown = spool.losses
    await harness.discard(1)
    expect(shown).toMatchObject([{ fromSequence: 1, toSequence: through }])
    spool.lossesReported()
    expect(spool.losses).toEqual([])
    await harness.close()
    await harness.open()
    await harness.readOn(2, 5_000)
    expect(harness.spool.losses).toEqual([])
  })

  it('swallows the sent ranges that it reaches', async () => {
    const harness = await started(6)
    await harness.append(30)
    harness.markSentRange(12, 20)
    harness.markSentRange(25, 26)
    await harness.discard(15)
    expect(harness.spool).toMatchObject({ sentThrough: 20, trimmedThrough: 15, sentRanges: [{ from: 25, to: 26 }] })
  })

  it('may be read or waited for as it goes', async () => {
    const harness = await started(7)
    await harness.append(40)
    const { spool } = harness
    const reading = spool.read(1, 10_000)
    const waiting = spool.waitFor(2, AbortSignal.timeout(5_000))
    const ahead = spool.waitFor(41, AbortSignal.timeout(5_000))
    const discarding = harness.discard(30)
    await waiting
    for (const { sequence } of (await harness.pump(reading)) as { sequence: number }[])
      expect(sequence).toBeLessThan(41)
    await discarding
    const after = (await harness.pump(spool.read(1, 10_000))) as { sequence: number }[]
    expect(after[0]?.sequence).toBe(spool.firstSequence)
    await harness.append(1)
    await ahead
    expect(spool.losses).toEqual([])
  })
})

it('counts every byte that it writes', async () => {
  const harness = await started(8, { ...smallOptions, durabilityMs: 250 })
  const before = harness.spool.bytesWritten
  // Identity, both slots of the cursor, the lock.
  expect(before).toBeGreaterThan(8_192)
  expect(before).toBeLessThan(8_192 + 200)
  await harness.append(1, 300)
  const written = harness.spool.bytesWritten - before
  // A segment's header, a record's, and what names it.
  expect(written).toBeGreaterThan(40 + 20 + 300)
  expect(written).toBeLessThan(40 + 20 + 340)
  harness.markSent(1)
  await harness.pump(harness.clock.sleep(1_100))
  expect(harness.spool.bytesWritten - before - written).toBe(4_096)
  const total = harness.spool.bytesWritten
  expect(await harness.metrics.registry.metrics()).toContain(
    `tributary_spool_bytes_written_total{process="test"} ${total}`,
  )
})

it.each([
  [0, 10],
  [250, 1],
])('with a durability of %i ms, ten appends take %i syncs, and none waits longer', async (durabilityMs, syncs) => {
  const harness = await started(9, { ...smallOptions, segmentBytesMax: 64 * 1024, durabilityMs })
  let count = 0
  harness.disk.faultAt = ({ kind, path }) => {
    if (kind === 'sync' && path.endsWith('.seg')) count += 1
    return undefined
  }
  const startedMs = harness.clock.monotonicMs()
  const { spool } = harness
  const appends: Promise<number>[] = []
  for (let i = 1; i <= 10; i++) {
    appends.push(spool.append(Buffer.alloc(50)))
    // Without durability to wait for, each is on the disk before simulated time passes.
    if (durabilityMs === 0) expect(await appends.at(-1)).toBe(i)
  }
  await harness.pump(Promise.all(appends))
  expect(harness.clock.monotonicMs() - startedMs).toBeLessThanOrEqual(durabilityMs === 0 ? 0 : durabilityMs + 20)
  expect(count).toBe(syncs)
  await harness.close()
})
