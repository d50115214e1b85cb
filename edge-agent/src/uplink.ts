/**
 * From the spool to the gateway.
 *
 * Guarantee: a record is let go of only after the gateway's PUBACK for it and for every record before it; and the gateway sends
 * that after its own fsync. After any interruption sending begins again at the send cursor: the gateway may see a batch twice, and
 * knows it by (agent, epoch, sequence). Nothing is held in memory beyond the window of batches in flight.
 */
import { type BatchHeader, decodeHeader, mqttTopic, rewriteSendFields } from '@tributary/protocol'
import { type Backoff, type Clock, type Logger, messageOf, type Service } from '@tributary/runtime'
import type { Spool, SpoolRecord } from '@tributary/spool'
import type { MqttClient } from 'mqtt'
import type { AgentConfig } from './config.ts'
import { createDrainPace } from './drain-pace.ts'
import { keepOpen } from './keep-open.ts'
import { connectMqtt, type MqttConnection, type MqttTarget } from './mqtt-connection.ts'
import { RECORDS_KEPT } from './recover.ts'
import { createSendWindow, type SendWindow } from './send-window.ts'

const BACKOFF: Backoff = { firstMs: 500, maxMs: 15_000 }
const PUBACK_MS_MAX = 10_000
/** A batch older than this when it is sent goes in the lane `backlog`. */
const BACKLOG_AFTER_MS = 10_000
const READ_BYTES_MAX = 256 * 1024
/** Stopping waits so long for the last batches to be acknowledged; what is left stays in the spool. */
const DRAIN_MS_MAX = 3_000
/** Waits before looking again when the spool holds nothing readable where it should. */
const EMPTY_READ_MS = 250
/** Before what was held is looked at again. */
const HOLD_MS = 250

export interface Uplink extends Service {
  readonly connected: boolean
  readonly detail: string
  readonly reconnects: number
  readonly batchesSent: number
  readonly bytesSent: number
  readonly backlogBatches: number
  /** Estimated: the unsent share of what the spool holds. */
  readonly backlogBytes: number
  readonly drainSeconds: number
}

/** What knows the time: it corrects what goes out, and asks the gateway. */
export interface UplinkClock {
  /** The record as it may be sent now; `hold`: not yet, ask again. */
  correct(payload: Uint8Array): Uint8Array | 'hold'
  /** There is a connection, until the signal aborts. @param publish sends on the clock topic */
  connected(publish: (payload: string) => void, signal: AbortSignal): void
  /** What came on the clock topic. */
  heard(payload: Uint8Array): void
}

export interface UplinkDependencies {
  readonly spool: Spool
  readonly time?: UplinkClock
  readonly clock: Clock
  readonly log: Logger
  readonly onSent: (batches: number, bytes: number) => void
}

export function createUplink(config: AgentConfig, dependencies: UplinkDependencies): Uplink {
  const { spool, time, clock, onSent } = dependencies
  const log = dependencies.log.child({ part: 'uplink' })
  const topic = mqttTopic(config.agent, 'batch')
  const stopping = new AbortController()
  const pace = createDrainPace()
  let running: Promise<void> | undefined
  let connection: MqttConnection | undefined
  let detail = `connecting to ${config.gateway.url}`
  let connections = 0
  let batchesSent = 0
  let bytesSent = 0
  let trimming = false
  let onProgress: () => void = () => undefined

  const backlogBatches = () => spool.nextSequence - 1 - spool.sentThrough
  const backlogBytes = (unsent = backlogBatches()) => {
    const held = spool.nextSequence - spool.firstSequence
    return held <= 0 ? 0 : Math.round(spool.bytesUsed * Math.min(1, unsent / held))
  }
  const drainSeconds = () => {
    pace.note(clock.monotonicMs(), spool.sentThrough, spool.nextSequence)
    return pace.drainSeconds(backlogBatches())
  }
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
    connection = opened
    connections++
    detail = `connected to ${config.gateway.url}`
    log.info({ fromSequence: spool.sentThrough + 1, backlogBatches: backlogBatches() }, detail)
    const ending = new AbortController()
    const window = createSendWindow({
      clock,
      inFlightMax: config.gateway.in_flight,
      answerMsMax: PUBACK_MS_MAX,
      onSent: (throughSequence, count, bytes) => {
        spool.markSent(throughSequence)
        batchesSent += count
        bytesSent += bytes
        onSent(count, bytes)
        trim()
        onProgress()
      },
    })
    askForTime(opened.client, ending.signal)
    const sending = send(opened.client, window, ending.signal)
    try {
      return await Promise.race([opened.ended, window.overdue, sending])
    } finally {
      ending.abort(new DOMException('the connection has ended', 'AbortError'))
      window.close()
      opened.destroy('closed')
      connection = undefined
      onProgress()
      await sending.catch(() => undefined)
    }
  }
  const askForTime = (client: MqttClient, signal: AbortSignal) => {
    const clockTopic = mqttTopic(config.agent, 'clock')
    client.on('message', (from, payload) => {
      if (from === clockTopic) time?.heard(payload)
    })
    client.subscribe(clockTopic, { qos: 0 }, () => {
      time?.connected((payload) => client.publish(clockTopic, payload, { qos: 0 }), signal)
    })
  }
  const corrected = async (record: SpoolRecord, signal: AbortSignal): Promise<SpoolRecord> => {
    for (;;) {
      const payload = time === undefined ? record.payload : time.correct(record.payload)
      if (payload !== 'hold') return { ...record, payload }
      await clock.sleep(HOLD_MS, signal)
    }
  }
  const send = async (client: MqttClient, window: SendWindow, signal: AbortSignal): Promise<never> => {
    const aborted = new Promise<never>((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    )
    aborted.catch(() => undefined)
    for (let next = spool.sentThrough + 1; ; ) {
      await spool.waitFor(next, signal)
      const records = await spool.read(next, READ_BYTES_MAX)
      if (records.length === 0) await clock.sleep(EMPTY_READ_MS, signal)
      for (const record of records) {
        await Promise.race([window.room(), aborted])
        const ready = await corrected(record, signal)
        signal.throwIfAborted()
        const acknowledged = window.sent(record.sequence, record.payload.length)
        client.publish(topic, outgoing(ready), { qos: 1 }, (error) => {
          if (!error) acknowledged()
        })
        next = record.sequence + 1
      }
    }
  }
  /** The batch as it goes out now. What is no batch goes as it is: the gateway makes a dead letter of it. */
  const outgoing = ({ sequence, payload }: SpoolRecord): Buffer => {
    let header: BatchHeader
    try {
      header = decodeHeader(payload)
    } catch (error) {
      log.error({ err: error, sequence }, `a record of the spool is no batch: ${messageOf(error)}; it is sent as it is`)
      return asBuffer(payload)
    }
    const behind = spool.nextSequence - 1 - sequence
    return asBuffer(
      rewriteSendFields(payload, {
        lane: clock.wallMs() - header.createdAtMs > BACKLOG_AFTER_MS ? 'backlog' : 'live',
        backlogBatches: behind,
        backlogBytes: backlogBytes(behind),
        drainSeconds: drainSeconds(),
      }),
    )
  }
  const trim = () => {
    const kept = spool.bytesUsed > config.spool.budget / 2 ? 1 : RECORDS_KEPT
    const through = spool.sentThrough - kept
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
  const drained = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const check = () => {
        if (backlogBatches() > 0 && connection && !signal.aborted) return
        onProgress = () => undefined
        cancel()
        resolve()
      }
      const cancel = clock.after(DRAIN_MS_MAX, () => {
        onProgress = () => undefined
        resolve()
      })
      onProgress = check
      signal.addEventListener('abort', check, { once: true })
      check()
    })
  return {
    name: 'uplink',
    start: async () => {
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
      if (backlogBatches() > 0)
        log.info({ backlogBatches: backlogBatches() }, 'batches stay in the spool for the next start')
      const closing = connection?.close(signal)
      stopping.abort(new DOMException('the uplink stops', 'AbortError'))
      await closing
      await running
    },
    get connected() {
      return connection !== undefined
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
    get backlogBatches() {
      return backlogBatches()
    },
    get backlogBytes() {
      return backlogBytes()
    },
    get drainSeconds() {
      return drainSeconds()
    },
  }
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
