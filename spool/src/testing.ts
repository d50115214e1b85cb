/**
 * A spool on a faulty disk beside a model of it, an array of what was appended, for tests. Every check that fails throws.
 *
 * A payload names its epoch and sequence and is never used twice, so that a number that was given out again shows.
 */
import { strict as assert } from 'node:assert'
import { createLogger, createMetrics, createRandom, type Metrics } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import type { Processes } from './lock.ts'
import { openSpool, type Spool, type SpoolLoss, type SpoolOptions } from './spool.ts'
import { SpoolFullError } from './spool-full-error.ts'

export const FOLDER = '/data/spool'

export const smallOptions: SpoolOptions = {
  segmentBytesMax: 1024,
  bytesMax: 256 * 1024,
  durabilityMs: 0,
  freeBytesMin: 0,
}

export function createSpoolHarness(seed: number, options: SpoolOptions = smallOptions) {
  const disk = createFaultyFileSystem({ seed })
  const random = createRandom(seed ^ 0x5eed)
  const clock = createSimulatedClock()
  const processes = simulatedProcesses(() => disk.crashes)
  const metrics: Metrics = createMetrics('test')
  const log = createLogger('spool', process.env['SPOOL_LOG'] === '1' ? 'debug' : 'silent')

  let spool: Spool | undefined
  let crashesAtOpening = 0
  let appends = 0
  let trimmedThrough = 0
  let discardedThrough = 0
  /** Sequences that it was told are sent or may go. */
  const sent = new Set<number>()
  const reported: SpoolLoss[] = []
  /** `epoch/sequence` → payload, of appends that resolved. */
  const acknowledged = new Map<string, string>()
  /** `epoch/sequence` → payload, of all appends: a number that was never shown may be given out again. */
  const attempted = new Map<string, Set<string>>()
  /** `epoch/sequence` → payload, of all that was ever acknowledged or read. */
  const shown = new Map<string, string>()

  const keyOf = (payload: string) => payload.split('|')[0] as string
  function show(payload: string): void {
    const key = keyOf(payload)
    const before = shown.get(key)
    assert(before === undefined || before === payload, `${key} was ${before}, and is now ${payload}`)
    shown.set(key, payload)
  }
  function current(): Spool {
    assert(spool && crashesAtOpening === disk.crashes, 'not open')
    return spool
  }
  /** Lets simulated time pass until it is done, or the power goes. */
  async function pump<T>(work: Promise<T>): Promise<T | 'crashed'> {
    if (crashesAtOpening !== disk.crashes) return 'crashed'
    let done = false
    const result = Promise.race([work, disk.crashed.then(() => 'crashed' as const)]).finally(() => {
      done = true
    })
    result.catch(() => undefined)
    for (let turns = 0; !done; turns++) {
      assert(turns < 100_000, 'it hangs')
      // Short waits cost no simulated time; timers run when nothing else goes on.
      for (let i = 0; i < 20 && !done; i++) await new Promise((resolve) => setImmediate(resolve))
      if (!done) await clock.advance(20)
    }
    return result
  }

  const harness = {
    disk,
    clock,
    metrics,
    acknowledged,
    /** Tells the model that a sequence may be marked as sent. */
    maySay(sequence: number) {
      sent.add(sequence)
    },
    get spool() {
      return current()
    },
    get isOpen() {
      return spool !== undefined && crashesAtOpening === disk.crashes
    },
    pump,
    /** @param damage the disk was tampered with: the cursor may be gone */
    async open({ damage = false } = {}): Promise<'crashed' | undefined> {
      crashesAtOpening = disk.crashes
      spool = undefined
      const opened = await pump(
        openSpool(FOLDER, options, { clock, log, metrics, fileSystem: disk.mount(), processes }),
      )
      if (opened === 'crashed') return opened
      spool = opened
      const claims = [{ from: 1, to: spool.sentThrough }, ...spool.sentRanges]
      for (const [i, { from, to }] of claims.entries()) {
        assert(i === 0 || (from > (claims[i - 1]?.to ?? 0) + 1 && to >= from), 'sent ranges are ascending and apart')
        assert(to < spool.nextSequence, 'it claims to have sent what there is not')
        for (let sequence = from; sequence <= to; sequence++)
          assert(damage || sent.has(sequence), `it claims to have sent ${sequence}, which it was not told`)
      }
      const goneThrough = Math.max(trimmedThrough, discardedThrough)
      assert(damage || spool.trimmedThrough <= goneThrough, 'it claims to have trimmed what it was not told')
      for (const key of shown.keys()) {
        const [epoch, sequence] = key.split('/')
        assert(epoch !== spool.epoch || Number(sequence) < spool.nextSequence, `${key} will be given out again`)
      }
      return undefined
    },
    /** Appends in one go, and waits for all. */
    async append(count: number, bytes = 0, { reserve = false } = {}): Promise<'crashed' | undefined> {
      const on = current()
      const waiting: Promise<unknown>[] = []
      let lastResolved = 0
      for (let i = 0; i < count; i++) {
        const sequence = on.nextSequence
        const payload = `${on.epoch}/${sequence}|${++appends}|${'x'.repeat(bytes || random.below(200))}`
        const payloads = attempted.get(keyOf(payload)) ?? new Set()
        attempted.set(keyOf(payload), payloads.add(payload))
        const append = on.append(Buffer.from(payload, 'latin1'), { reserve }).then(
          (given) => {
            assert.equal(given, sequence)
            assert(given > lastResolved, 'appends resolve in order')
            lastResolved = given
            acknowledged.set(keyOf(payload), payload)
            show(payload)
          },
          (error) => {
            if (!(error instanceof SpoolFullError)) throw error
            payloads.delete(payload)
          },
        )
        // It looks whether space has returned: only then is it known whether it takes the number.
        if (on.nextSequence === sequence && (await pump(append)) === 'crashed') return 'crashed'
        waiting.push(append)
      }
      const before = on.bytesUsed
      if ((await pump(Promise.all(waiting))) === 'crashed') return 'crashed'
      const budget = options.bytesMax - (reserve ? 0 : options.segmentBytesMax)
      assert(on.bytesUsed <= Math.max(before, budget), `${on.bytesUsed} bytes are more than ${budget}`)
      return undefined
    },
    async readOn(fromSequence: number, bytesMax: number): Promise<number> {
      const records = await pump(current().read(fromSequence, bytesMax))
      if (records === 'crashed') return 0
      for (const { sequence, payload } of records) {
        const text = Buffer.from(payload).toString('latin1')
        assert(sequence >= fromSequence, 'reads what was not asked for')
        assert.equal(Number(keyOf(text).split('/')[1]), sequence)
        assert(attempted.get(keyOf(text))?.has(text), `${text} was never appended`)
        show(text)
      }
      return records.length === 0 ? 0 : (records[records.length - 1]?.sequence ?? 0)
    },
    markSent(throughSequence: number) {
      harness.markSentRange(1, throughSequence)
    },
    markSentRange(fromSequence: number, toSequence: number) {
      const on = current()
      for (let n = fromSequence; n <= Math.min(toSequence, on.nextSequence - 1); n++) sent.add(n)
      if (fromSequence === 1) on.markSent(toSequence)
      else on.markSentRange(fromSequence, toSequence)
      for (let n = fromSequence; n <= Math.min(toSequence, on.nextSequence - 1); n++)
        assert(n <= on.sentThrough || on.sentRanges.some(({ from, to }) => from <= n && n <= to), `${n} was marked`)
    },
    async trim(throughSequence: number) {
      trimmedThrough = Math.max(trimmedThrough, Math.min(throughSequence, current().sentThrough))
      await pump(current().trim(throughSequence))
    },
    /** What the spool must not tell of any more, and need not have. */
    async discard(throughSequence: number) {
      const on = current()
      const through = Math.min(throughSequence, on.nextSequence - 1)
      for (let n = 1; n <= through; n++) sent.add(n)
      discardedThrough = Math.max(discardedThrough, through)
      await pump(on.discard(throughSequence))
    },
    reportLosses() {
      reported.push(...current().losses)
      current().lossesReported()
    },
    async close() {
      await pump(current().close())
      spool = undefined
    },
    crash: () => disk.crash(),
    /**
     * Reads everything and compares: each number is there or lost; what was acknowledged is there.
     * @param damage what was done to the disk can have cost acknowledged records: then they must be named as lost
     */
    async verify({ damage = false } = {}): Promise<{ records: number; lost: number }> {
      const on = current()
      const found = new Map<number, string>()
      for (let from = on.firstSequence; ; ) {
        const records = await pump(on.read(from, 1 + random.below(2000)))
        if (records === 'crashed' || records.length === 0) break
        for (const { sequence, payload } of records) {
          assert(sequence >= from, 'records come in order')
          from = sequence + 1
          const text = Buffer.from(payload).toString('latin1')
          assert(attempted.get(keyOf(text))?.has(text), `${text.slice(0, 60)} was never appended`)
          show(text)
          found.set(sequence, text)
        }
      }
      const losses = [...reported, ...on.losses]
      const isLost = (sequence: number, epoch?: string) =>
        losses.some(
          (loss) =>
            loss.reason === 'damaged' &&
            loss.fromSequence <= sequence &&
            sequence <= loss.toSequence &&
            (epoch === undefined || loss.epoch === epoch),
        )
      for (const sequence of found.keys()) assert(!isLost(sequence) || damage, `${sequence} is there and called lost`)
      for (const [key, payload] of acknowledged) {
        const [epoch, position] = [key.split('/')[0] as string, Number(key.split('/')[1])]
        assert(
          damage || !isLost(position, epoch),
          `${position} was acknowledged, nothing was damaged, and it is called lost`,
        )
        if (position <= Math.max(trimmedThrough, discardedThrough) || found.get(position) === payload) continue
        assert(damage, `${payload.slice(0, 60)} was acknowledged and is gone`)
        // Where a new epoch began because nobody knows how far the old one went, the end of that has no number.
        assert(isLost(position, epoch) || epoch !== on.epoch, `${position} is gone and not named`)
      }
      for (let sequence = on.trimmedThrough + 1; sequence < on.nextSequence; sequence++)
        assert(found.has(sequence) || isLost(sequence), `${sequence} is neither there nor lost`)
      const lost = losses.reduce((sum, l) => sum + (l.reason === 'unused' ? 0 : l.toSequence - l.fromSequence + 1), 0)
      return { records: found.size, lost }
    },
  }
  return harness
}

/** Processes of a machine whose power can go: those of an earlier boot are gone. As in life, no flipped bit makes one boot of another. */
export const simulatedProcesses = (boot: () => number): Processes => {
  const startedAt = () => `${boot()}/${boot()}/${boot()}`
  return {
    own: async () => ({ pid: 1, startedAt: startedAt() }),
    isAlive: async (process) => process.startedAt === startedAt(),
  }
}
