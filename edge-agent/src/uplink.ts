/**
 * From the spool to the gateway.
 *
 * Guarantee: a record is let go of only after the gateway's PUBACK for it and for every record before it, which the gateway
 * sends after its own fsync; with `retain: stored` only when the processor has it in the store. After any interruption what was
 * not acknowledged is sent again: the gateway may see a batch twice, and knows it by (agent, epoch, sequence). Nothing is held
 * in memory beyond what is in flight.
 *
 * What is new goes first; a backlog drains beside it (`pump.ts` of the spool). A link that is silent is noticed: within
 * `PUBACK_MS_MAX` while something is in flight, within one and a half times `gateway.keepalive` when nothing is.
 */
import { agentCommand, mqttTopic, parseControlMessage, parseMqttTopic, rewriteSendFields } from '@tributary/protocol'
import { type Backoff, type Clock, type Logger, messageOf, type Service } from '@tributary/runtime'
import {
  createPump,
  type PumpBehind,
  type PumpFigures,
  type PumpLane,
  type Spool,
  type SpoolRecord,
} from '@tributary/spool'
import type { MqttClient } from 'mqtt'
import type { AgentConfig } from './config.ts'
import { createFlights, type Flights } from './flights.ts'
import { keepOpen } from './keep-open.ts'
import { connectMqtt, type MqttTarget } from './mqtt-connection.ts'
import type { RecordClaims } from './record-claims.ts'
import { RECORDS_KEPT } from './recover.ts'
import { createResend } from './resend.ts'
import { gatewayFilePath, openStoredWatermark, type StoredWatermark } from './stored-watermark.ts'

const BACKOFF: Backoff = { firstMs: 500, maxMs: 15_000 }
const PUBACK_MS_MAX = 10_000
/** More batches than this waiting: the newest go first. */
const OVERTAKE_FROM = 64
/** Stopping waits so long for the last batches to be acknowledged; what is left stays in the spool. */
const DRAIN_MS_MAX = 3_000
/** Before what was held is looked at again. */
const HOLD_MS = 250
/** Beyond this share of the budget, `retain: stored` keeps no more than `acknowledged` does: shedding would lose what the gateway has. */
const RETAIN_SHARE_MAX = 0.75

/** What knows the time: it corrects what goes out, and asks the gateway. */
export interface UplinkClock {
  /** The record as it may be sent now; `hold`: not yet, ask again. */
  correct(payload: Uint8Array): Uint8Array | 'hold'
  /** There is a connection, until the signal aborts. @param publish sends on the clock topic */
  connected(publish: (payload: string) => void, signal: AbortSignal): void
  /** What came on the clock topic. */
  heard(payload: Uint8Array): void
}

export interface Uplink extends Service {
  readonly connected: boolean
  readonly detail: string
  readonly reconnects: number
  readonly batchesSent: number
  readonly bytesSent: number
  /** Sent again, because the gateway asked or lost its disk. */
  readonly batchesResent: number
  /** Asked for, and not in the spool any more. */
  readonly batchesGone: number
  readonly lanes: PumpFigures
  /** Everything up to here is in the store; undefined while no gateway has said so. */
  readonly storedThrough: number | undefined
  readonly gatewayEpoch: string | undefined
}

export interface UplinkDependencies {
  readonly spool: Spool
  readonly claims?: RecordClaims
  readonly clock: Clock
  readonly log: Logger
  readonly time?: UplinkClock
  /** The gateway has acknowledged it. */
  readonly onSent: (sequence: number, bytes: number, lane: PumpLane) => void
}

interface Link {
  readonly client: MqttClient
  readonly flights: Flights
  readonly signal: AbortSignal
}

export function createUplink(config: AgentConfig, dependencies: UplinkDependencies): Uplink {
  const { spool, claims, clock, time, onSent } = dependencies
  const log = dependencies.log.child({ part: 'uplink' })
  const topic = mqttTopic(config.agent, 'batch')
  const stopping = new AbortController()
  let running: Promise<void> | undefined
  let link: Link | undefined
  let say: (signal: AbortSignal) => Promise<void> = async () => undefined
  let stored: StoredWatermark | undefined
  /** What is held is looked at by all who wait at the same moment, so their order stays. */
  let held: Promise<void> | undefined
  let detail = `connecting to ${config.gateway.url}`
  let connections = 0
  let batchesSent = 0
  let bytesSent = 0
  let trimming = false
  let saidTight = false

  const resend = createResend(spool, { clock, log })
  const pump = createPump(
    spool,
    { inFlightMax: config.gateway.in_flight, overtakeFrom: Math.max(OVERTAKE_FROM, config.gateway.in_flight) },
    { clock, log, send: (record, lane, behind) => sendUnlessGone(record, lane, behind) },
  )
  const target: MqttTarget = {
    url: config.gateway.url,
    clientId: config.agent,
    username: config.gateway.username ?? config.agent,
    password: config.gateway.password,
    password_file: config.gateway.password_file,
    keepaliveMs: config.gateway.keepalive,
    tls: config.gateway.tls,
    clean: true,
  }

  const openOnce = async (): Promise<string> => {
    const opened = await connectMqtt(target, stopping.signal)
    const ending = new AbortController()
    const { signal } = ending
    const flights = createFlights({ clock, answerMsMax: PUBACK_MS_MAX })
    link = { client: opened.client, flights, signal }
    say = opened.close
    connections++
    detail = `connected to ${config.gateway.url}`
    log.info({ fromSequence: spool.sentThrough + 1, backlogBatches: pump.backlogRecords }, detail)
    listen(opened.client, signal)
    const sending = pump.run(signal)
    const here = link
    const sendAgain = async (record: SpoolRecord) =>
      transmit(here, { ...record, payload: await readyPayload(record.payload, signal) }, 'backlog', behindResent())
    const sendingAgain = resend.run(sendAgain, signal)
    try {
      // Whatever ended it, it was open: how long it held says when to try again.
      return await Promise.race([opened.ended, flights.overdue, sending, sendingAgain]).catch(messageOf)
    } finally {
      ending.abort(new DOMException('the connection has ended', 'AbortError'))
      flights.close(new Error('the connection has ended'))
      opened.destroy('closed')
      link = undefined
      claims?.connectionLost()
      await Promise.allSettled([sending, sendingAgain])
    }
  }
  const listen = (client: MqttClient, signal: AbortSignal) => {
    client.on('message', (heardTopic, payload) => {
      const channel = parseMqttTopic(heardTopic)?.channel
      if (channel === 'stored') void stored?.relayed(payload)
      else if (channel === 'clock') time?.heard(payload)
      else if (channel === 'command') obey(payload)
    })
    const topics = (['stored', 'command', 'clock'] as const).map((channel) => mqttTopic(config.agent, channel))
    client.subscribe(topics, { qos: 0 }, (error) => {
      if (error && !signal.aborted) log.warn({ err: error }, 'the gateway did not take the subscription')
    })
    const clockTopic = mqttTopic(config.agent, 'clock')
    time?.connected((payload) => void client.publish(clockTopic, payload, { qos: 0 }), signal)
  }
  const obey = (payload: Uint8Array) => {
    const command = parseControlMessage(agentCommand, payload)
    if (!command) log.warn({ bytes: payload.length }, 'a command of the gateway could not be read')
    else if (command.type === 'resend') {
      const { epoch, fromSequence, toSequence } = command
      resend.request({ epoch, fromSequence, toSequence })
    }
  }
  const onGatewayLost = (gatewayEpoch: string, first: boolean): boolean => {
    const settle = () => void stored?.resent(gatewayEpoch)
    const fromSequence = Math.max(stored?.through ?? 0, spool.trimmedThrough) + 1
    const toSequence = spool.sentRanges.at(-1)?.to ?? spool.sentThrough
    // Never heard of a gateway: nothing says that this one lost something, but what is kept for that case goes to be sure.
    if ((first && config.spool.retain === 'acknowledged') || fromSequence > toSequence) {
      settle()
      return true
    }
    log.warn(
      { gatewayEpoch, fromSequence, toSequence },
      'the gateway has another disk than before; what is not in the store is sent again',
    )
    return resend.request({ fromSequence, toSequence, onDone: settle })
  }

  /** What was given up meanwhile has its tombstone: nothing of it waits any more. */
  const sendUnlessGone = async (record: SpoolRecord, lane: PumpLane, behind: PumpBehind): Promise<void> => {
    const here = link
    if (!here) throw new Error('there is no connection')
    const payload = await readyPayload(record.payload, here.signal)
    if (claims && !(await claims.leave(record.sequence, here.signal))) return
    await transmit(here, { ...record, payload }, lane, behind)
    claims?.arrived(record.sequence)
  }
  /** Resolves with the PUBACK. @throws when the connection ends before it */
  const transmit = async (here: Link, record: SpoolRecord, lane: PumpLane, behind: PumpBehind): Promise<void> => {
    const bytes = outgoing(record, lane, behind)
    await here.flights.send(record.sequence, (onAcknowledged) => {
      here.client.publish(topic, bytes, { qos: 1 }, (error) => {
        if (!error) onAcknowledged()
      })
    })
    batchesSent += 1
    bytesSent += record.payload.length
    onSent(record.sequence, record.payload.length, lane)
    // The pump moves the cursor when it hears of it.
    setImmediate(trim)
  }
  const readyPayload = async (payload: Uint8Array, signal: AbortSignal): Promise<Uint8Array> => {
    for (;;) {
      if (!held) {
        const ready = time ? time.correct(payload) : payload
        if (ready !== 'hold') return ready
        held = clock.sleep(HOLD_MS, signal).finally(() => {
          held = undefined
        })
      }
      await held
      signal.throwIfAborted()
    }
  }
  /** The batch as it goes out now. What is no batch goes as it is, and becomes a dead letter further on: nothing may hold up what follows. */
  const outgoing = ({ sequence, payload }: SpoolRecord, lane: PumpLane, behind: PumpBehind): Buffer => {
    try {
      const { records, bytes, drainSeconds } = behind
      return asBuffer(rewriteSendFields(payload, { lane, backlogBatches: records, backlogBytes: bytes, drainSeconds }))
    } catch (error) {
      log.error(
        { err: error, sequence },
        `how it is sent cannot be written into a batch: ${messageOf(error)}; it goes as it is`,
      )
      return asBuffer(payload)
    }
  }
  const behindResent = (): PumpBehind => ({
    records: pump.backlogRecords,
    bytes: pump.backlogBytes,
    drainSeconds: pump.drainSeconds,
  })

  /** How far nobody needs the records any more. Behind a loss only once a batch has told it: a crash before that must find it again. */
  const trimmableThrough = (): number => Math.min(unneededThrough(), (spool.untoldFrom ?? Number.POSITIVE_INFINITY) - 1)
  const unneededThrough = (): number => {
    const { budget, retain } = config.spool
    const kept = spool.bytesUsed > budget / 2 ? 1 : RECORDS_KEPT
    if (retain === 'acknowledged') return spool.sentThrough - kept
    const tight = spool.bytesUsed > budget * RETAIN_SHARE_MAX
    if (tight && !saidTight)
      log.warn('the spool fills up: what the gateway has is let go of, although it is not in the store yet')
    saidTight = tight
    return Math.min(spool.sentThrough, tight ? spool.sentThrough : (stored?.through ?? 0)) - kept
  }
  const trim = () => {
    const through = trimmableThrough()
    if (trimming || through <= spool.trimmedThrough) return
    trimming = true
    spool
      .trim(through)
      .catch((error) => log.warn({ err: error }, 'the spool could not be trimmed; it is tried again'))
      .finally(() => {
        trimming = false
        // What was acknowledged meanwhile; a trim that got nowhere waits for the next acknowledgement.
        if (spool.trimmedThrough >= through) trim()
      })
  }
  const unsent = () => pump.backlogRecords + pump.inFlight
  const drained = async (signal: AbortSignal): Promise<void> => {
    const untilMs = clock.monotonicMs() + DRAIN_MS_MAX
    while (unsent() > 0 && link && !signal.aborted && clock.monotonicMs() < untilMs) await clock.sleep(10)
  }
  return {
    name: 'uplink',
    start: async () => {
      stored = await openStoredWatermark(gatewayFilePath(config.spool.folder), spool, {
        log,
        trimmedIsStored: config.spool.retain === 'stored',
        onGatewayLost,
        onMoved: trim,
      })
      running = keepOpen(openOnce, {
        clock,
        signal: stopping.signal,
        log,
        backoff: BACKOFF,
        onDown: (why) => {
          detail = why
        },
      })
    },
    async stop(signal) {
      await drained(signal)
      if (unsent() > 0) log.info({ backlogBatches: unsent() }, 'batches stay in the spool for the next start')
      const closing = link ? say(signal) : undefined
      stopping.abort(new DOMException('the uplink stops', 'AbortError'))
      await closing
      await running
    },
    get connected() {
      return link !== undefined
    },
    get detail() {
      return detail
    },
    get reconnects() {
      return Math.max(0, connections - 1)
    },
    get batchesSent() {
      return batchesSent
    },
    get bytesSent() {
      return bytesSent
    },
    get batchesResent() {
      return resend.resent
    },
    get batchesGone() {
      return resend.gone
    },
    lanes: pump,
    get storedThrough() {
      return stored?.gatewayEpoch === undefined ? undefined : stored.through
    },
    get gatewayEpoch() {
      return stored?.gatewayEpoch
    },
  }
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
