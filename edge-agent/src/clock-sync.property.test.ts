/**
 * A machine without a clock battery, simulated: it boots, restarts its agent, has its wall clock set at random, and meets a time
 * service or a gateway at random moments. Spool, writer and files are real (on a disk in memory). Whatever was sent as `trusted` or
 * `corrected` has the true time.
 */
import { type Batch, decodeBatch } from '@tributary/protocol'
import { createLogger, createMetrics, createRandom, type KernelClock } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock, type SimulatedClock } from '@tributary/runtime/testing'
import { openSpool, type Spool } from '@tributary/spool'
import { expect, test } from 'vitest'
import { type BatchWriter, createBatchWriter } from './batch-writer.ts'
import { openBootTimes } from './boot-times.ts'
import { type ClockSync, createClockSync } from './clock-sync.ts'
import { createCompleteThrough } from './complete-through.ts'
import { eventClock } from './event-time.ts'
import { recover } from './recover.ts'
import { createRepeatGuard } from './repeat-guard.ts'
import { emptyDelivery, readSample } from './sample.ts'
import { createStamper } from './stamper.ts'

const YEAR_MS = 365 * 86_400_000
const START_MS = Date.UTC(2026, 2, 1)
const TRIP_MS_MAX = 25
/** Half the longest round trip, and what whole milliseconds take. */
const ERROR_MS_MAX = TRIP_MS_MAX + 2
const log = createLogger('test', 'silent')
const never = new AbortController().signal

interface Sent {
  readonly trueMs: number
  readonly timeMs: number
  readonly quality: string
  readonly sequence: number
  readonly bootId: string
}

/** @param holdMs 0: what is not trusted as it is sent goes at once */
function createWorld(seed: number, holdMs: number) {
  const random = createRandom(seed)
  const between = (low: number, high: number) => low + random.below(high - low + 1)
  const disk = createFaultyFileSystem({ seed })
  const batches: Batch[] = []
  let boots = 0
  let clock: SimulatedClock
  let bootTrueMs = START_MS
  let kernel: KernelClock = 'unknown'
  let gatewayTrusted = false
  let process: { spool: Spool; writer: BatchWriter; sync: ClockSync; take: () => void } | undefined
  let link: AbortController | undefined
  let taken = 0

  const trueMs = () => bootTrueMs + clock.monotonicMs()
  /** Runs what falls due until it is done: the disk takes turns of the event loop, not time. */
  const settled = async <T>(work: Promise<T>): Promise<T> => {
    let done = false
    const noted = work.finally(() => {
      done = true
    })
    while (!done) await clock.advance(5)
    return noted
  }
  const startProcess = async () => {
    const fileSystem = disk.mount()
    const limits = { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 26, durabilityMs: 0, freeBytesMin: 0 }
    const spool = await settled(openSpool('/spool', limits, { clock, log, metrics: createMetrics('test'), fileSystem }))
    const guard = createRepeatGuard()
    const recovered = await settled(recover(spool, guard, log))
    const bootTimes = await settled(openBootTimes('/spool.clock', `boot-${boots}`, clock, { log, fileSystem }))
    for (const [id, { monotonicMs, timeline }] of recovered.boots) bootTimes.seen(id, monotonicMs, timeline)
    const sync = createClockSync({ trusted: 'auto', holdMs }, bootTimes, async () => kernel, { clock, log })
    const stamper = createStamper()
    for (const last of recovered.stamps.values())
      if (last.bootId === sync.bootId)
        stamper.stamp(last.device, last.kind, last.monotonicMs + sync.eventTime.timeline.offsetMs)
    const writer = createBatchWriter(
      {
        agent: 'pi-1',
        bootId: sync.bootId,
        ageMs: 500,
        readings: 20,
        readingsTotal: recovered.readingsTotal,
        completeThroughMs: recovered.completeThroughMs,
      },
      {
        spool,
        guard,
        stamper,
        completeThrough: createCompleteThrough(1_000, recovered.completeThroughMs),
        eventTime: sync.eventTime,
        pendingSinceMs: () => [],
        tombstones: async () => [],
        retention: { makeRoom: async () => false },
        clock,
        log,
        onBatch: () => undefined,
      },
    )
    const arrivals = eventClock(clock, sync.eventTime)
    const take = () => {
      const delivery = emptyDelivery(arrivals.wallMs())
      readSample({ true_ms: trueMs(), sequence: ++taken }, { device: 'd', kind: 'k' }, delivery)
      expect(writer.accept('in', delivery)).toBeDefined()
    }
    await sync.start(never)
    process = { spool, writer, sync, take }
  }
  const stopProcess = async () => {
    if (!process) return
    const { spool, writer, sync } = process
    disconnect()
    await settled(writer.flush(never))
    await settled(sync.stop(never))
    await settled(spool.close())
    process = undefined
  }
  const disconnect = () => {
    link?.abort()
    link = undefined
  }
  const connect = (gatewayErrorMs = between(-YEAR_MS, YEAR_MS)) => {
    disconnect()
    const own = new AbortController()
    link = own
    const { sync } = process as NonNullable<typeof process>
    const wrongByMs = gatewayTrusted ? 0 : gatewayErrorMs
    sync.connected((payload) => {
      const { id } = JSON.parse(payload) as { id: number }
      if (random.below(10) === 0) return
      clock.after(between(0, TRIP_MS_MAX), () => {
        const pong = { type: 'pong', id, wallMs: Math.floor(trueMs() + wrongByMs), trusted: gatewayTrusted }
        clock.after(between(0, TRIP_MS_MAX), () => !own.signal.aborted && sync.heard(Buffer.from(JSON.stringify(pong))))
      })
    }, own.signal)
  }
  /** What the uplink does, as far as time is concerned. */
  const send = async () => {
    if (!process || !link) return
    const { spool, sync } = process
    for (;;) {
      const records = await settled(spool.read(spool.sentThrough + 1, 2 ** 20))
      if (records.length === 0) return
      for (const { sequence, payload } of records) {
        const ready = sync.correct(payload)
        if (ready === 'hold') return
        expect(sync.correct(payload), 'corrected alike, however often').toEqual(ready)
        batches.push(decodeBatch(ready))
        spool.markSent(sequence)
      }
    }
  }
  const boot = async (wallErrorMs: number, offMs: number) => {
    if (process) {
      await stopProcess()
      bootTrueMs = trueMs() + offMs
    }
    boots += 1
    kernel = 'unknown'
    clock = createSimulatedClock(bootTrueMs + wallErrorMs)
    await clock.advance(between(3_000, 20_000))
    await startProcess()
  }
  const world = {
    between,
    pick: <T>(...items: readonly T[]): T => items[between(0, items.length - 1)] as T,
    batches,
    boot,
    connect,
    disconnect,
    send,
    restart: async () => {
      await stopProcess()
      await clock.advance(between(300, 5_000))
      await startProcess()
    },
    async run(durationMs: number) {
      const endMs = clock.monotonicMs() + durationMs
      while (clock.monotonicMs() < endMs) {
        const many = between(0, 20) === 0 ? between(2, 200) : 1
        for (let i = 0; i < many; i++) process?.take()
        await clock.advance(between(1, Math.max(2, Math.floor(durationMs / 20))))
      }
    },
    /** Somebody sets the clock; a kernel that nobody asked yet knows then that it is not synchronised any more. */
    jump(byMs: number) {
      clock.setWall(clock.wallMs() + byMs)
      if (process?.sync.status().by !== 'system') kernel = 'not synchronised'
    },
    timeService() {
      clock.setWall(trueMs())
      kernel = 'synchronised'
    },
    trustGateway() {
      gatewayTrusted = true
    },
    /** Everything is written, and sent to a gateway that knows the time. */
    async finish() {
      gatewayTrusted = true
      connect()
      await world.run(6_000)
      await world.restart()
      connect()
      await clock.advance(6_000)
      await send()
    },
    get status() {
      return process?.sync.status()
    },
    get taken() {
      return taken
    },
    sent: (): Sent[] =>
      batches.flatMap(({ header, blocks }) =>
        blocks.flatMap((block) => {
          const truth = block.columns.find(({ field }) => field === 'true_ms')?.values as Float64Array
          return Array.from(block.timesMs, (timeMs, i) => ({
            trueMs: truth[i] as number,
            timeMs,
            quality: header.clockQuality,
            sequence: header.sequence,
            bootId: header.bootId,
          }))
        }),
      ),
  }
  return world
}
type World = ReturnType<typeof createWorld>

const isRight = ({ quality }: Sent) => quality === 'trusted' || quality === 'corrected'

/** True times, order within a boot, and promises kept. @returns how many of each quality there were */
function check(world: World, seed: number): Record<string, number> {
  const sent = world.sent()
  const counts: Record<string, number> = {}
  for (const one of sent) counts[one.quality] = (counts[one.quality] ?? 0) + 1
  expect(sent.length, `seed ${seed}: all that was taken was sent`).toBe(world.taken)
  for (const bootId of new Set(sent.map((one) => one.bootId))) {
    let expectedMs = 0
    let beforeMs = 0
    for (const one of sent.filter((other) => other.bootId === bootId).sort((x, y) => x.trueMs - y.trueMs)) {
      // Samples that come in one millisecond are told apart by further milliseconds.
      expectedMs = Math.max(Math.floor(one.trueMs), expectedMs + 1)
      if (!isRight(one)) continue
      expect(Math.abs(one.timeMs - expectedMs), `seed ${seed}: ${JSON.stringify(one)}`).toBeLessThanOrEqual(
        ERROR_MS_MAX,
      )
      expect(one.timeMs, `seed ${seed}: order in ${bootId}`).toBeGreaterThan(beforeMs)
      beforeMs = one.timeMs
    }
  }
  // Nothing that comes later was measured before what was promised to be complete.
  const ordered = sent.filter(({ quality }) => quality !== 'untrusted')
  for (const { header } of world.batches) {
    if (header.clockQuality === 'untrusted') continue
    const later = ordered.filter(({ sequence }) => sequence > header.sequence)
    const earliest = later.reduce((least, one) => Math.min(least, one.timeMs), Number.POSITIVE_INFINITY)
    expect(header.completeThroughMs, `seed ${seed}: promise of ${header.sequence}`).toBeLessThanOrEqual(earliest)
  }
  return counts
}

test('readings that waited for a trusted clock get the true time, in order, whatever happens to the clock meanwhile', async () => {
  const total: Record<string, number> = {}
  for (let seed = 1; seed <= 8; seed++) {
    const world = createWorld(seed, 60_000)
    const error = () => world.pick(-START_MS, -90 * 86_400_000, 5 * 3_600_000, -3 * 3_600_000)
    await world.boot(error(), 0)
    world.trustGateway()
    for (let i = 0; i < 12; i++) {
      await world.run(world.between(500, 30_000))
      switch (world.between(0, 6)) {
        case 0:
          world.jump(world.between(-YEAR_MS, YEAR_MS))
          break
        case 1:
          world.timeService()
          break
        case 2:
          world.connect()
          break
        case 3:
          world.disconnect()
          break
        case 4:
          await world.restart()
          break
        case 5:
          await world.boot(error(), world.between(1_000, 86_400_000))
          break
      }
      await world.send()
    }
    await world.finish()
    for (const [quality, count] of Object.entries(check(world, seed))) total[quality] = (total[quality] ?? 0) + count
  }
  expect(total['untrusted']).toBeUndefined()
  for (const quality of ['trusted', 'corrected', 'estimated']) expect(total[quality], quality).toBeGreaterThan(100)
}, 120_000)

test('jumps of the wall clock by up to a year, once the clock is trusted, change nothing of what is sent', async () => {
  for (const by of ['gateway', 'system'] as const)
    for (let seed = 100; seed < 104; seed++) {
      const world = createWorld(seed, 60_000)
      await world.boot(-START_MS, 0)
      if (by === 'system') world.timeService()
      else {
        world.trustGateway()
        world.connect()
      }
      await world.run(10_000)
      expect(world.status).toMatchObject({ trusted: true, by })
      for (let i = 0; i < 8; i++) {
        world.jump((i % 2 ? -1 : 1) * YEAR_MS)
        await world.run(20_000)
        await world.send()
        expect(world.status).toMatchObject({ trusted: true, by })
      }
      await world.restart()
      await world.finish()
      check(world, seed)
      expect(world.batches.length).toBeGreaterThan(50)
      for (const { header } of world.batches) {
        expect(Math.abs(header.createdAtMs - header.monotonicMs - START_MS)).toBeLessThanOrEqual(ERROR_MS_MAX)
        const behindMs = header.createdAtMs - header.completeThroughMs
        expect(behindMs, 'lateness, and what writing takes').toBeGreaterThanOrEqual(1_000)
        expect(behindMs).toBeLessThan(2_000)
      }
    }
})

test('what had to be sent before the clock was trusted is marked; what comes after it has the true time', async () => {
  for (let seed = 200; seed < 206; seed++) {
    const world = createWorld(seed, 10_000)
    await world.boot(world.pick(-START_MS, 5 * 3_600_000), 0)
    await world.run(5_000)
    world.connect()
    await world.run(8_000)
    await world.send()
    expect(world.batches, 'held').toEqual([])
    expect(world.status).toMatchObject({ trusted: false, holding: true })
    await world.run(8_000)
    await world.send()
    const untrusted = world.sent().length
    expect(untrusted).toBeGreaterThan(0)
    expect(world.status).toMatchObject({ trusted: false, holding: false, untrustedReadings: untrusted * 2 })
    expect(world.status?.detail).toMatch(/^not set: readings are sent with times that may be wrong/)
    world.disconnect()
    await world.finish()
    const counts = check(world, seed)
    expect(counts['untrusted']).toBe(untrusted)
    expect(counts['trusted']).toBeGreaterThan(0)
    expect(counts['corrected']).toBeGreaterThan(0)
  }
})

test('agents of a gateway that does not vouch for its clock have its time all the same', async () => {
  const world = createWorld(300, 10_000)
  await world.boot(-START_MS, 0)
  world.connect(3 * 3_600_000)
  await world.run(12_000)
  await world.send()
  const sent = world.sent()
  expect(sent.length).toBeGreaterThan(0)
  for (const { timeMs, trueMs, quality } of sent) {
    expect(quality).toBe('untrusted')
    expect(Math.abs(timeMs - trueMs - 3 * 3_600_000)).toBeLessThan(ERROR_MS_MAX + 400)
  }
})
