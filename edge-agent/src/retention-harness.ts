/**
 * An agent without inputs on a faulty disk, for tests: its writer, spool and retention, and a receiver that takes what is delivered.
 * It knows what was stored, and says at the end whether all of it is accounted for.
 */
import { strict as assert } from 'node:assert'
import { type Batch, decodeBatch, type RollupBlock } from '@tributary/protocol'
import { createLogger, createMetrics } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import { openSpool, type Spool } from '@tributary/spool'
import { simulatedProcesses } from '@tributary/spool/testing'
import { type BatchWriter, createBatchWriter } from './batch-writer.ts'
import { createCompleteThrough } from './complete-through.ts'
import { createEventTime } from './event-time.ts'
import { tombstonesFor } from './losses.ts'
import { createRecordClaims, type RecordClaims } from './record-claims.ts'
import { recover } from './recover.ts'
import { createRepeatGuard } from './repeat-guard.ts'
import { createRetention, finishGivingUp } from './retention.ts'
import { createRollups } from './rollup.ts'
import { emptyDelivery, readSample } from './sample.ts'
import { createStamper } from './stamper.ts'
import { isGivenUp } from './tombstones.ts'

export const SEGMENT_BYTES = 8 * 1024
/** At least as many as are ever delivered without an acknowledgement. */
const UNCERTAIN_RECORDS = 60
const NEVER = new AbortController().signal
const START_MS = Date.UTC(2026, 5, 1)
const EPOCH_KEY = (epoch: string, sequence: number) => `${epoch}/${sequence}`

export interface Offer {
  /** Samples of each device. */
  readonly samples: number
  readonly devices: number
  readonly intervalMs: number
  readonly health?: boolean
  readonly deadLetters?: number
}

export function createRetentionHarness(seed: number, { bytesMax = 8 * SEGMENT_BYTES, freeBytesMin = 0 } = {}) {
  const disk = createFaultyFileSystem({ seed })
  const clock = createSimulatedClock()
  const log = createLogger('test', process.env['SPOOL_LOG'] === '1' ? 'debug' : 'silent')
  let spool: Spool | undefined
  let writer: BatchWriter | undefined
  let claims: RecordClaims | undefined
  let crashesAtOpening = 0
  let nowMs = START_MS
  let value = 0
  let mostBytes = 0
  /** All that was ever offered to the disk. */
  const written = new Map<string, Batch>()
  /** What the disk said it has. */
  const acknowledged = new Set<string>()
  /** What the receiver has, in the order of arrival. */
  const received = new Map<string, Batch>()
  let offered = 0
  let stored = 0

  const isCrashed = () => crashesAtOpening !== disk.crashes
  /** Lets simulated time pass until it is done, or the power goes. */
  async function pump<T>(work: Promise<T>): Promise<T | 'crashed'> {
    let done = false
    const result = Promise.race([work, disk.crashed.then(() => 'crashed' as const)]).finally(() => {
      done = true
    })
    result.catch(() => undefined)
    for (let turns = 0; !done; turns++) {
      assert(turns < 20_000, 'it hangs')
      for (let i = 0; i < 20 && !done; i++) await new Promise((resolve) => setImmediate(resolve))
      if (!done) await clock.advance(20)
    }
    return result
  }
  const on = (): Spool => {
    assert(spool && !isCrashed(), 'not open')
    return spool
  }

  async function start(): Promise<void> {
    const opened = await openSpool(
      '/data/spool',
      { segmentBytesMax: SEGMENT_BYTES, bytesMax, durabilityMs: 0, freeBytesMin },
      {
        clock,
        log,
        metrics: createMetrics('test'),
        fileSystem: disk.mount(),
        processes: simulatedProcesses(() => disk.crashes),
      },
    )
    const append: Spool['append'] = (payload, options) => {
      const batch = decodeBatch(payload)
      const key = EPOCH_KEY(opened.epoch, batch.header.sequence)
      written.set(key, batch)
      return opened
        .append(payload, options)
        .then((sequence) => {
          acknowledged.add(key)
          return sequence
        })
        .finally(() => {
          mostBytes = Math.max(mostBytes, opened.bytesUsed)
        })
    }
    const recording: Spool = Object.create(opened, { append: { value: append } })
    const guard = createRepeatGuard()
    const recovered = await recover(recording, guard, log)
    await finishGivingUp(recording, recovered.tombstones, log)
    const claimed = createRecordClaims(recording, clock, UNCERTAIN_RECORDS)
    const losses = () => tombstonesFor(recording, (writer as BatchWriter).totals.readingsTotal)
    const eventTime = createEventTime({ offsetMs: START_MS, quality: 'trusted' })
    writer = createBatchWriter(
      {
        agent: 'pi-1',
        bootId: 'boot',
        ageMs: 1,
        readings: 1,
        readingsTotal: recovered.readingsTotal,
        completeThroughMs: recovered.completeThroughMs,
      },
      {
        spool: recording,
        guard,
        stamper: createStamper(),
        completeThrough: createCompleteThrough(0, recovered.completeThroughMs),
        eventTime,
        pendingSinceMs: () => [],
        tombstones: losses,
        retention: createRetention(
          { bytesMax, segmentBytesMax: SEGMENT_BYTES, keepLast: ['agent_health'], bootId: 'boot' },
          {
            spool: recording,
            claims: claimed,
            losses,
            eventTime,
            corrected: (batch) => batch,
            log,
            onGivenUp: () => undefined,
          },
        ),
        clock,
        log,
        onBatch: () => undefined,
      },
    )
    claims = claimed
    spool = recording
  }

  const harness = {
    disk,
    clock,
    received,
    get spool() {
      return on()
    },
    get isOpen() {
      return spool !== undefined && !isCrashed()
    },
    get mostBytes() {
      return mostBytes
    },
    get storedOffers() {
      return stored
    },
    get totals() {
      return (writer as BatchWriter).totals
    },
    async open(): Promise<'crashed' | undefined> {
      crashesAtOpening = disk.crashes
      spool = undefined
      return (await pump(start())) === 'crashed' ? 'crashed' : undefined
    },
    /** One batch. @returns whether it is on disk */
    async offer({ samples, devices, intervalMs, health = false, deadLetters = 0 }: Offer): Promise<boolean> {
      const delivery = emptyDelivery(nowMs)
      for (let i = 0; i < samples; i++) {
        nowMs += intervalMs
        for (let d = 0; d < devices; d++) {
          value = (value * 31 + 17) % 9_973
          const sample = {
            device: `d${d}`,
            time_ms: nowMs,
            a: value / 100,
            b: 2_000 + (value % 50),
            on: value % 3 === 0,
          }
          readSample(sample, { device: undefined, kind: 'k' }, delivery)
        }
      }
      if (health) readSample({ uptime_s: offered }, { device: 'pi-1', kind: 'agent_health' }, delivery)
      for (let i = 0; i < deadLetters; i++)
        delivery.refusals.push({
          device: 'd0',
          reason: 'not_json',
          detail: 'garbled',
          original: Buffer.from('x'),
          readingCount: 2,
        })
      offered += 1
      let done = false
      const before = stored
      const onStored = () => {
        stored += 1
      }
      if (!(writer as BatchWriter).accept('in', delivery, onStored)) return false
      const isDone = (async () => {
        while (stored === before && !isCrashed()) await clock.sleep(1)
        done = stored > before
      })()
      await Promise.race([pump(isDone), pump(clock.sleep(5_000))])
      return done
    },
    /** Records leave for the receiver, and maybe get there, and maybe that is heard of. */
    async deliver(count: number, { arrives = true, acknowledged = true, newest = false } = {}): Promise<void> {
      const all = on()
      let sequence = newest ? Math.max(all.sentThrough + 1, all.nextSequence - count) : all.sentThrough + 1
      const from = sequence
      let through = from - 1
      for (let n = 0; n < count && sequence < all.nextSequence; n++, sequence++) {
        if (!(await pump((claims as RecordClaims).leave(sequence, NEVER)))) continue
        const [record] = (await pump(all.read(sequence, 1))) as Awaited<ReturnType<Spool['read']>>
        if (record?.sequence === sequence && arrives) receive(decodeBatch(record.payload))
        if (acknowledged) (claims as RecordClaims).arrived(sequence)
        through = sequence
      }
      if (acknowledged && arrives && through >= from) all.markSentRange(from, through)
      else (claims as RecordClaims).connectionLost()
    },
    /** The link is there for good. */
    async drain(): Promise<void> {
      while (on().sentThrough < on().nextSequence - 1) {
        const before = on().sentThrough
        await harness.deliver(50)
        // What cannot be read any more is passed over, as the uplink does.
        if (on().sentThrough === before) on().markSent(before + 1)
      }
    },
    /** Each sequence is there or has a tombstone; readings are all accounted for; windows are what they would have been. */
    check(): { rolledUp: number; shed: number; received: number } {
      const all = on()
      const gone = new Map<string, { reason: string; readings: number }>()
      let told = 0
      let expected = 0
      for (const batch of received.values())
        for (const { epoch, fromSequence, toSequence, readingCount, reason } of batch.tombstones) {
          let readings = 0
          for (let n = fromSequence; n <= toSequence; n++) {
            const key = EPOCH_KEY(epoch, n)
            const inIt = written.get(key)?.header.readingCount ?? 0
            readings += inIt
            assert(isGivenUp(reason) || !gone.has(key), `${key} has two tombstones`)
            assert(isGivenUp(reason) || !acknowledged.has(key), `${key} was on disk, and is lost`)
            // What tore as the power went never counted.
            if (!gone.has(key)) gone.set(key, { reason, readings: isGivenUp(reason) ? inIt : 0 })
          }
          told += readingCount
          if (isGivenUp(reason)) expected += readings
        }
      assert.equal(told, expected, 'tombstones tell the readings of what went')
      const truth = createRollups(60_000)
      const found = createRollups(60_000)
      const result = { rolledUp: 0, shed: 0, received: 0 }
      for (let n = 1; n < all.nextSequence; n++) {
        const key = EPOCH_KEY(all.epoch, n)
        const lost = gone.get(key)
        const batch = received.get(key)
        assert(batch || lost, `${key} never came, and has no tombstone`)
        if (!batch && lost?.reason !== 'rolled_up_10s' && lost?.reason !== 'rolled_up_1m') {
          result.shed += lost?.readings ?? 0
          continue
        }
        if (batch) result.received += batch.header.readingCount
        else result.rolledUp += lost?.readings ?? 0
        for (const block of (batch ?? written.get(key))?.blocks ?? [])
          if (block.kind === 'k') {
            truth.addSamples(block)
            if (batch) found.addSamples(block)
          }
        for (const block of batch?.rollups ?? []) {
          if (block.kind !== 'k') continue
          for (let s = block.fromSequence; s <= block.toSequence; s++)
            assert(!received.has(EPOCH_KEY(all.epoch, s)), `${s} came, and its windows too`)
          found.addWindows(block)
        }
      }
      const last = received.get(EPOCH_KEY(all.epoch, Math.max(...sequencesOf(all.epoch))))?.header
      assert.equal(last?.readingsTotal ?? 0, result.received + result.rolledUp + result.shed, 'the account balances')
      compare(found.finish({ fromSequence: 1, toSequence: 1 }), truth.finish({ fromSequence: 1, toSequence: 1 }))
      return result
    },
  }
  const sequencesOf = (epoch: string) =>
    [...received.values()].filter(({ header }) => header.epoch === epoch).map(({ header }) => header.sequence)
  const receive = (batch: Batch) => {
    const key = EPOCH_KEY(batch.header.epoch, batch.header.sequence)
    if (!received.has(key)) received.set(key, batch)
  }
  return harness
}

function compare(found: readonly RollupBlock[], truth: readonly RollupBlock[]): void {
  const byDevice = (blocks: readonly RollupBlock[]) => [...blocks].sort((a, b) => (a.device < b.device ? -1 : 1))
  assert.deepEqual(
    byDevice(found).map(({ device }) => device),
    byDevice(truth).map(({ device }) => device),
  )
  for (const [i, ours] of byDevice(found).entries()) {
    const theirs = byDevice(truth)[i] as RollupBlock
    assert.deepEqual(ours.timesMs, theirs.timesMs, `windows of ${ours.device}`)
    for (const column of ours.columns) {
      const other = theirs.columns.find(({ field }) => field === column.field)
      assert.deepEqual(column.counts, other?.counts, `${ours.device} ${column.field}: counts`)
      assert.deepEqual(column.lasts, other?.lasts)
      assert.deepEqual(column.lastOffsetsMs, other?.lastOffsetsMs)
      if (column.type !== 'number' || other?.type !== 'number') continue
      for (const [w, sum] of column.sums.entries())
        assert(Math.abs(sum - (other.sums[w] as number)) <= 1e-9 * Math.abs(sum), `sum ${sum}`)
      assert.deepEqual(column.minimums, other.minimums)
      assert.deepEqual(column.maximums, other.maximums)
      for (const [w, spread] of column.spreads.entries())
        assert(Math.abs(spread - (other.spreads[w] as number)) <= 1e-9 * spread, `spread ${spread}`)
    }
  }
}
