/**
 * Time is right although the machine has no clock battery.
 *
 * Guarantee: readings that the agent stamps carry the monotonic time of this boot + an offset, never the raw wall clock; so a wall clock
 * that jumps while we run changes nothing. What was stamped before anybody vouched for a clock is held, for at most `holdMs` of
 * connection, and corrected just before it is sent: with an offset that was decided once for its boot and is on disk.
 * Not: what had to be sent before the clock was trusted (marked `untrusted`) is right.
 */
import {
  type Batch,
  type BatchHeader,
  type ClockQuality,
  countReadings,
  decodeBatch,
  decodeHeader,
} from '@tributary/protocol'
import { type Clock, every, type KernelClock, type Logger, messageOf, type Service } from '@tributary/runtime'
import type { BootTimes, TimeSource } from './boot-times.ts'
import { type ClockKnowledge, hearGateway, hearSystem, JUMP_MS, startKnowledge } from './clock-trust.ts'
import { correctBatch, correctPayload } from './correct-batch.ts'
import { createEventTime, type EventTime } from './event-time.ts'
import { timelineOf } from './recover.ts'
import { createRoundTrips } from './round-trips.ts'

/** The kernel is asked by starting a program: often at first, then less often. */
const LOOK_MS = 5_000
const LOOK_MS_MAX = 60_000
const ROUND_MS = 60_000
/** As long as nobody vouches for a clock, or when the gateway was suddenly elsewhere. */
const ROUND_AGAIN_MS = 5_000
const SAVE_MS = 300_000
/** Batches remembered as counted, so that one that is sent again is not counted again. */
const COUNTED_MAX = 10_000

export interface ClockStatus {
  readonly trusted: boolean
  readonly by: TimeSource | null
  /** This machine's wall clock less the gateway's; null while that was not measured. */
  readonly offsetMs: number | null
  /** How far that may be off. */
  readonly errorMs: number | null
  /** Readings wait in the spool for a clock that is trusted. */
  readonly holding: boolean
  /** Stamped readings in batches handed to the uplink since the process started, by what became of their times. */
  readonly correctedReadings: number
  readonly estimatedReadings: number
  readonly untrustedReadings: number
  /** A sentence for a person. */
  readonly detail: string
}

export interface ClockSync extends Service {
  readonly eventTime: EventTime
  /** Of this boot, as it stands in headers. */
  readonly bootId: string
  /** A record as it may be sent now; `hold`: not yet, ask again. */
  correct(payload: Uint8Array): Uint8Array | 'hold'
  /** With the times as they are known now; of this boot in its present timeline. What cannot be told stays `untrusted`. */
  corrected(batch: Batch): Batch
  /** The uplink has a connection, until the signal aborts. @param publish sends on the clock topic */
  connected(publish: (payload: string) => void, signal: AbortSignal): void
  /** What came on the clock topic. */
  heard(payload: Uint8Array): void
  status(): ClockStatus
}

export interface ClockSyncOptions {
  /** `auto` asks the kernel; `always` and `never`: as a person has decided. */
  readonly trusted: 'auto' | 'always' | 'never'
  readonly holdMs: number
}

export function createClockSync(
  options: ClockSyncOptions,
  boots: BootTimes,
  readKernel: () => Promise<KernelClock>,
  dependencies: { readonly clock: Clock; readonly log: Logger },
): ClockSync {
  const { clock } = dependencies
  const log = dependencies.log.child({ part: 'clock' })
  const stopping = new AbortController()
  const { current } = boots
  let known: ClockKnowledge = startKnowledge(
    current.trusted?.offsetMs ?? current.provisionalOffsetMs,
    current.trusted?.by,
  )
  const eventTime = createEventTime({
    offsetMs: Math.round(known.offsetMs),
    quality: known.by === undefined ? 'untrusted' : 'trusted',
  })
  const roundTrips = createRoundTrips(clock)
  let gateway: { offsetMs: number; errorMs: number } | undefined
  let learning: Promise<void> = Promise.resolve()
  let running: Promise<unknown> = Promise.resolve()
  /** Decided in memory, on its way to the disk. */
  let settling = false
  let holdLeftMs = options.holdMs
  let connectedAtMs: number | undefined
  let roundPending = false
  let saidUntrusted = false
  const counts: Record<ClockQuality, number> = { trusted: 0, corrected: 0, estimated: 0, untrusted: 0 }
  const counted = new Set<string>()

  /** One after the other: deciding takes a write to the disk. */
  const learn = (hear: (known: ClockKnowledge) => ClockKnowledge): Promise<void> => {
    learning = learning.then(async () => {
      const before = known
      known = hear(known)
      const offsetMs = Math.round(known.offsetMs)
      const movedByMs = offsetMs - eventTime.timeline.offsetMs
      if (known.by === undefined) {
        if (movedByMs === 0) return
        boots.move(offsetMs, undefined)
        eventTime.turn({ offsetMs, quality: 'untrusted' }, clock.monotonicMs())
      } else if (before.by === undefined) {
        settling = true
        await boots.trust(offsetMs, known.by, clock.monotonicMs())
        settling = false
        eventTime.turn({ offsetMs, quality: 'trusted' }, clock.monotonicMs())
        log.info({ by: known.by, movedByMs }, 'the clock is trusted: readings taken before are corrected')
      } else if (movedByMs !== 0 || known.by !== before.by) {
        boots.move(offsetMs, known.by)
        eventTime.follow(offsetMs, clock.monotonicMs())
        if (Math.abs(movedByMs) > JUMP_MS)
          log.error(
            { by: known.by, before: before.by, movedByMs },
            'a clock that was trusted was wrong; readings follow the right one from now on, those sent before stay',
          )
      }
      if (known.systemJumpedToMs !== undefined && before.systemJumpedToMs === undefined)
        log.warn({ byMs: known.systemJumpedToMs - offsetMs }, 'the wall clock jumped; readings keep the time of before')
      if (known.gatewayElsewhereMs !== undefined && before.gatewayElsewhereMs === undefined)
        log.warn({ byMs: known.gatewayElsewhereMs - offsetMs }, "the gateway's clock is elsewhere; it is asked again")
    })
    return learning
  }
  const look = async () => {
    const kernel = options.trusted === 'auto' ? await readKernel() : undefined
    const vouched = options.trusted === 'always' || kernel === 'synchronised'
    const offsetMs = clock.wallMs() - clock.monotonicMs()
    await learn((before) => hearSystem(before, offsetMs, vouched))
  }
  const lookAgain = async () => {
    for (let looks = 1; !stopping.signal.aborted; looks++) {
      await look().catch((error) => log.warn({ err: error }, 'the kernel could not be asked for its clock'))
      await clock.sleep(Math.min(LOOK_MS * looks, LOOK_MS_MAX), stopping.signal).catch(() => undefined)
    }
  }
  const askGateway = async (publish: (payload: string) => void, signal: AbortSignal) => {
    while (!signal.aborted) {
      const time = await roundTrips.measure(publish, signal)
      if (time && !signal.aborted) {
        gateway = time
        await learn((before) => hearGateway(before, time))
      }
      roundPending = false
      const again = known.by === undefined || known.gatewayElsewhereMs !== undefined
      await clock.sleep(again ? ROUND_AGAIN_MS : ROUND_MS, signal).catch(() => undefined)
    }
  }
  const mayHold = (): boolean => {
    if (connectedAtMs === undefined || roundPending) return true
    return clock.monotonicMs() - connectedAtMs < holdLeftMs
  }
  const correct = (payload: Uint8Array, header: BatchHeader): Uint8Array | 'hold' => {
    const timeline = timelineOf(header)
    if (header.clockQuality !== 'untrusted' || !timeline) return payload
    if (settling) return 'hold'
    const boot = boots.find(header.bootId)
    if (boot?.correction) {
      const { offsetMs, quality } = boot.correction
      return counting(header, correctPayload(payload, offsetMs - timeline.offsetMs, quality))
    }
    // A boot that nobody remembers is corrected by nothing that comes.
    if (boot && mayHold()) return 'hold'
    if (!saidUntrusted) {
      saidUntrusted = true
      const hint = `see that this machine or its gateway reaches a time server; clock.hold (${options.holdMs} ms) says how long readings wait for that`
      log.error({ hint }, 'the clock is not set: readings go out with times that may be wrong, marked as untrusted')
    }
    if (boot !== current) return counting(header, { payload, batch: decodeBatch(payload) })
    return counting(header, correctPayload(payload, eventTime.timeline.offsetMs - timeline.offsetMs, 'untrusted'))
  }
  const counting = ({ epoch, sequence }: BatchHeader, { payload, batch }: ReturnType<typeof correctPayload>) => {
    const { clockQuality } = batch.header
    const key = `${epoch} ${sequence}`
    if (counted.has(key)) return payload
    counted.add(key)
    if (counted.size > COUNTED_MAX) counted.delete(counted.values().next().value as string)
    counts[clockQuality] += countReadings(batch.blocks.filter((block) => block.stampedByAgent))
    return payload
  }
  const status = (): ClockStatus => {
    const offsetMs = gateway === undefined ? null : clock.wallMs() - clock.monotonicMs() - gateway.offsetMs
    const holding = known.by === undefined && mayHold()
    const detail =
      known.by === undefined
        ? holding
          ? 'not set: readings are being held and will be corrected'
          : 'not set: readings are sent with times that may be wrong, marked as untrusted'
        : `trusted by ${known.by === 'gateway' ? 'gateway' : 'the system'}${offsetMs === null ? '' : `, offset ${signed(offsetMs)} ms`}`
    return {
      trusted: known.by !== undefined,
      by: known.by ?? null,
      offsetMs: offsetMs === null ? null : Math.round(offsetMs * 10) / 10,
      errorMs: gateway === undefined ? null : Math.round(gateway.errorMs * 10) / 10,
      holding,
      correctedReadings: counts.corrected,
      estimatedReadings: counts.estimated,
      untrustedReadings: counts.untrusted,
      detail,
    }
  }
  return {
    name: 'clock',
    eventTime,
    bootId: current.id,
    correct(payload) {
      try {
        return correct(payload, decodeHeader(payload))
      } catch (error) {
        // What is no batch becomes a dead letter further on.
        log.warn({ err: error }, `a record of the spool cannot be corrected, and goes as it is: ${messageOf(error)}`)
        return payload
      }
    },
    corrected(batch) {
      const { header } = batch
      const timeline = timelineOf(header)
      const boot = boots.find(header.bootId)
      if (header.clockQuality !== 'untrusted' || !timeline || !boot) return batch
      if (boot.correction && !settling)
        return correctBatch(batch, boot.correction.offsetMs - timeline.offsetMs, boot.correction.quality)
      if (boot !== current) return batch
      return correctBatch(batch, eventTime.timeline.offsetMs - timeline.offsetMs, 'untrusted')
    },
    connected(publish, signal) {
      if (signal.aborted) return
      connectedAtMs = clock.monotonicMs()
      roundPending = true
      signal.addEventListener(
        'abort',
        () => {
          if (connectedAtMs !== undefined) holdLeftMs -= clock.monotonicMs() - connectedAtMs
          connectedAtMs = undefined
        },
        { once: true },
      )
      askGateway(publish, signal).catch((error) =>
        log.warn({ err: error }, 'the gateway could not be asked for the time'),
      )
    },
    heard: (payload) => roundTrips.heard(payload),
    status,
    async start() {
      const saving = every(SAVE_MS, () => boots.save(clock.monotonicMs()), { clock, signal: stopping.signal })
      running = Promise.all([lookAgain(), saving])
    },
    async stop() {
      stopping.abort(new DOMException('the agent stops', 'AbortError'))
      await running
      await learning
      await boots.save(clock.monotonicMs())
    },
  }
}

const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(Math.round(value))}`
