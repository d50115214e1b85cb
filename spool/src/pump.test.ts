import { createLogger, createMetrics } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import { expect, it } from 'vitest'
import {
  createPump,
  openSpool,
  type PumpBehind,
  type PumpDependencies,
  type PumpLane,
  type PumpOptions,
  type Spool,
} from './index.ts'
import { FOLDER, simulatedProcesses } from './testing.ts'

const log = createLogger('pump', 'silent')

async function started(options: Partial<PumpOptions> = {}, dependencies: Partial<PumpDependencies> = {}) {
  const clock = createSimulatedClock()
  const disk = createFaultyFileSystem({ seed: 1 })
  const processes = simulatedProcesses(() => disk.crashes)
  const spool = await openSpool(
    FOLDER,
    { segmentBytesMax: 4096, bytesMax: 2 ** 20, durabilityMs: 0, freeBytesMin: 0 },
    { clock, log, metrics: createMetrics('test'), fileSystem: disk.mount(), processes },
  )
  const sent: { sequence: number; lane: PumpLane; behind: PumpBehind; answer: (error?: Error) => void }[] = []
  const pump = createPump(
    spool,
    { inFlightMax: 4, overtakeFrom: 20, newestRecords: 2, ...options },
    {
      clock,
      log,
      send: ({ sequence }, lane, behind) =>
        new Promise((resolve, reject) => {
          sent.push({ sequence, lane, behind, answer: (error) => (error ? reject(error) : resolve()) })
        }),
      ...dependencies,
    },
  )
  const stop = new AbortController()
  const run = () => {
    const ended = { reason: undefined as unknown }
    pump.run(stop.signal).catch((reason) => {
      ended.reason = reason
    })
    return ended
  }
  /** Answers all that are out, again and again, until nothing more comes. */
  const answerAll = async () => {
    for (let quiet = 0; quiet < 3; ) {
      const open = sent.splice(0)
      for (const one of open) one.answer()
      answered.push(...open)
      await clock.advance(10)
      quiet = sent.length > 0 ? 0 : quiet + 1
    }
  }
  const answered: typeof sent = []
  const append = async (count: number, on: Spool = spool) => {
    const appends = Promise.all(Array.from({ length: count }, () => on.append(Buffer.alloc(60))))
    await clock.advance(10)
    await appends
  }
  return { clock, disk, spool, pump, sent, answered, stop, run, answerAll, append }
}
const laneOf = (sent: readonly { sequence: number; lane: PumpLane }[], name: PumpLane) =>
  sent.filter(({ lane }) => lane === name).map(({ sequence }) => sequence)
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

it('sends in order, in one lane, while no more wait than it may', async () => {
  const { spool, pump, sent, answered, run, answerAll, append, clock, stop } = await started()
  await append(20)
  const ended = run()
  await clock.advance(10)
  expect(sent.map(({ sequence, lane }) => [sequence, lane])).toEqual(numbers(1, 4).map((n) => [n, 'live']))
  expect(sent.map(({ behind }) => behind.records)).toEqual([19, 18, 17, 16])
  expect(pump).toMatchObject({ backlogRecords: 16, inFlight: 4 })
  // An answer out of order moves nothing.
  sent[1]?.answer()
  await clock.advance(10)
  expect(spool).toMatchObject({ sentThrough: 0, sentRanges: [] })
  expect(sent).toHaveLength(4)
  sent[0]?.answer()
  await clock.advance(10)
  expect(spool.sentThrough).toBe(2)
  await answerAll()
  expect([...laneOf(answered, 'live')]).toEqual(numbers(1, 20))
  expect(spool).toMatchObject({ sentThrough: 20, sentRanges: [] })
  expect(pump).toMatchObject({ backlogRecords: 0, backlogBytes: 0, drainSeconds: 0, inFlight: 0 })
  stop.abort(new Error('enough'))
  await clock.advance(10)
  expect(ended.reason).toEqual(new Error('enough'))
})

it('sends the newest at once when many wait, and the others beside them; the ranges join in the end', async () => {
  const { spool, pump, sent, answered, run, answerAll, append, clock } = await started()
  await append(100)
  run()
  await clock.advance(10)
  expect(laneOf(sent, 'live')).toEqual([99, 100])
  expect(laneOf(sent, 'backlog')).toEqual([1, 2])
  expect(sent.find(({ sequence }) => sequence === 99)?.behind.records).toBe(99)
  const first = sent.splice(0)
  for (const { sequence, answer } of first) if (sequence > 2) answer()
  await append(3)
  expect(laneOf(sent, 'live')).toEqual([101, 102, 103])
  await answerAll()
  expect(spool).toMatchObject({ sentThrough: 0, sentRanges: [{ from: 99, to: 103 }] })
  expect(pump).toMatchObject({ backlogRecords: 98, inFlight: 2 })
  for (const { answer } of first) answer()
  await answerAll()
  expect(laneOf(answered, 'backlog')).toEqual(numbers(3, 98))
  // Those of the backlog that are still out.
  expect(answered.at(-1)?.behind.records).toBeLessThan(pump.window)
  expect(spool).toMatchObject({ sentThrough: 103, sentRanges: [] })
  await append(20)
  expect(laneOf(sent, 'live')).toEqual(numbers(104, 107))
})

it('ends with what failed, once what was in flight has settled, and begins again where it was', async () => {
  const { spool, sent, answered, run, answerAll, append, clock } = await started()
  await append(60)
  let ended = run()
  await clock.advance(10)
  const flights = new Map(sent.splice(0).map(({ sequence, answer }) => [sequence, answer]))
  expect([...flights.keys()].sort((a, b) => a - b)).toEqual([1, 2, 59, 60])
  flights.get(59)?.()
  flights.get(1)?.(new Error('not confirmed'))
  flights.get(2)?.()
  await clock.advance(10)
  expect(ended.reason).toBeUndefined()
  expect(sent).toEqual([])
  flights.get(60)?.()
  await clock.advance(10)
  expect(ended.reason).toEqual(new Error('not confirmed'))
  // 2 was acknowledged before 1, and goes again.
  expect(spool).toMatchObject({ sentThrough: 0, sentRanges: [{ from: 59, to: 60 }] })

  await append(40)
  ended = run()
  await answerAll()
  expect(laneOf(answered, 'live')).toEqual([99, 100])
  expect(laneOf(answered, 'backlog')).toEqual([...numbers(1, 58), ...numbers(61, 98)])
  expect(spool).toMatchObject({ sentThrough: 100, sentRanges: [] })
  expect(ended.reason).toBeUndefined()
})

it('ends at once when it is stopped, whatever is in flight', async () => {
  const { sent, run, append, clock, stop, spool } = await started()
  await append(60)
  const ended = run()
  await clock.advance(10)
  stop.abort(new Error('stopped'))
  await clock.advance(10)
  expect(ended.reason).toEqual(new Error('stopped'))
  // What is acknowledged after all need not be sent again.
  for (const { answer } of sent) answer()
  await clock.advance(10)
  expect(spool).toMatchObject({ sentThrough: 2, sentRanges: [{ from: 59, to: 60 }] })
  await expect(started().then(({ pump }) => pump.run(AbortSignal.abort(new Error('before'))))).rejects.toThrow('before')
})

it('leaves the backlog alone while it may not drain, and sends what is new', async () => {
  let mayDrain = false
  const { sent, answered, run, answerAll, append, clock } = await started({}, { mayDrain: () => mayDrain })
  await append(60)
  run()
  await answerAll()
  await append(5)
  await answerAll()
  await clock.advance(5_000)
  expect(answered.map(({ sequence }) => sequence)).toEqual([59, 60, ...numbers(61, 65)])
  expect(answered.at(-1)?.behind.records).toBe(58)
  mayDrain = true
  await clock.advance(300)
  expect(laneOf(sent, 'backlog')).toEqual([1, 2])
})

it('leaps again when the other end falls behind, not over a burst', async () => {
  const { sent, answered, spool, run, answerAll, append, clock } = await started()
  run()
  await append(100)
  await answerAll()
  expect(laneOf(answered, 'live')).toEqual(numbers(1, 100))

  await append(50)
  for (const { answer } of sent.splice(0)) answer()
  await clock.advance(10)
  expect(sent.map(({ sequence, lane }) => [sequence, lane])).toEqual(numbers(105, 108).map((n) => [n, 'live']))
  await clock.advance(1_000)
  for (const { answer } of sent.splice(0)) answer()
  await clock.advance(10)
  expect(laneOf(sent, 'live')).toEqual([149, 150])
  expect(laneOf(sent, 'backlog')).toEqual([109, 110])
  await answerAll()
  expect(laneOf(answered, 'backlog')).toEqual(numbers(109, 148))
  expect(spool).toMatchObject({ sentThrough: 150, sentRanges: [] })
})

it('leaves most of the bytes in flight to what is new', async () => {
  // Ten records, of which the backlog has three tenths; one more of 60 bytes would pass.
  const { sent, answerAll, run, append, clock, pump, answered } = await started({
    inFlightMax: 10,
    inFlightBytesMax: 600,
    backlogShare: 0.3,
  })
  await append(200)
  run()
  let most = 0
  for (let turn = 0; turn < 40; turn++) {
    most = Math.max(most, laneOf(sent, 'backlog').length)
    for (const { answer } of sent.splice(0)) answer()
    await clock.advance(5)
  }
  expect(most).toBe(3)
  expect(pump.window).toBeGreaterThan(3)
  await append(9)
  expect(laneOf(sent, 'live')).toHaveLength(7)
  await answerAll()
  expect(answered.length).toBeGreaterThan(0)
})

it('passes over what cannot be read, at the seams of the lanes too', async () => {
  const { disk, spool, answered, run, answerAll, append, clock } = await started({ newestRecords: 2 })
  await append(200)
  for (const path of disk
    .files()
    .filter((one) => one.endsWith('.seg'))
    .slice(0, -1)) {
    const bytes = Buffer.from(disk.contents(path) as Uint8Array)
    // Three in a row of each segment, and its last ones.
    for (const at of [200, 300, 390, bytes.length - 100, bytes.length - 10])
      bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at)
    disk.put(path, bytes)
  }
  run()
  await clock.advance(500)
  await answerAll()
  const lost = spool.losses.flatMap(({ fromSequence, toSequence }) => numbers(fromSequence, toSequence))
  expect(lost.length).toBeGreaterThan(5)
  expect(spool).toMatchObject({ sentThrough: 200, sentRanges: [] })
  expect([...answered.map(({ sequence }) => sequence), ...lost].sort((a, b) => a - b)).toEqual(numbers(1, 200))
})

it('gives up neither lane when reading fails for a while', async () => {
  const { disk, spool, answered, run, answerAll, append, clock } = await started()
  await append(100)
  let failures = 0
  disk.faultAt = ({ kind }) => (kind === 'open' && failures++ < 8 ? 'EIO' : undefined)
  run()
  await clock.advance(1_500)
  await answerAll()
  expect(failures).toBeGreaterThan(8)
  expect(spool).toMatchObject({ sentThrough: 100, sentRanges: [], losses: [] })
  expect(new Set(answered.map(({ sequence }) => sequence)).size).toBe(100)
})

it('does not send what was discarded meanwhile', async () => {
  const { spool, sent, answered, run, answerAll, append, clock } = await started()
  await append(100)
  run()
  await clock.advance(10)
  const flights = sent.splice(0)
  const discarding = spool.discard(50)
  await clock.advance(10)
  await discarding
  for (const { answer } of flights) answer()
  await answerAll()
  expect(laneOf(answered, 'backlog')).toEqual(numbers(51, 98))
  expect(spool).toMatchObject({ sentThrough: 100, sentRanges: [] })
})

it('while nobody is at the other end no time to drain is told: what its pace will be is not known', async () => {
  const { append, clock, pump, run, stop } = await started()
  await append(100)
  const told: number[] = []
  const watch = async () => {
    for (let second = 0; second < 6; second++) {
      told.push(pump.drainSeconds)
      await clock.advance(1_000)
    }
  }
  await watch()
  expect(told).toEqual([0, 0, 0, 0, 0, 0])
  run()
  await watch()
  // It takes nothing but what is in flight.
  expect(told.at(-1)).toBeGreaterThan(0)
  stop.abort(new Error('the link is down'))
  await clock.advance(10)
  expect(pump.drainSeconds).toBe(0)
})
