/**
 * The stream `TELEMETRY`: made when it is not there, otherwise left as it is and looked at. A stream that lost what it
 * had confirmed (made anew, or its last sequence went backwards) is noticed.
 */
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  type PubAck,
  RetentionPolicy,
  StorageType,
  type StreamInfo,
} from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { TELEMETRY_STREAM, TELEMETRY_SUBJECTS, telemetrySubject } from '@tributary/protocol'
import { backoffDelayMs, type Clock, every, type Logger, messageOf, type Service } from '@tributary/runtime'
import type { GatewayConfig } from './config.ts'
import type { Marks } from './marks.ts'
import type { NatsLink } from './nats-link.ts'
import { orAbort } from './or-abort.ts'
import type { StreamDepth } from './stream-pace.ts'

export interface Stream extends Service {
  readonly ready: boolean
  /** Resolves once there is a connection and the stream is there. */
  waitUntilReady(signal: AbortSignal): Promise<void>
  /** Bytes that a message may have; undefined while there is no connection. */
  readonly payloadBytesMax: number | undefined
  /** Resolves when JetStream confirmed the message. @throws StreamFullError, or whatever went wrong: try again */
  publish(agent: string, payload: Uint8Array): Promise<void>
  /** What waits in the stream now; undefined when it cannot be asked. */
  depth(): Promise<StreamDepth | undefined>
  /** Called when the stream lost what it had confirmed. To be called before `start`. */
  onLost(callback: () => void): void
}

/** The stream takes no more until the processor has caught up. */
export class StreamFullError extends Error {
  override readonly name = 'StreamFullError'
}

const ACK_MS_MAX = 5_000
const BACKOFF = { firstMs: 250, maxMs: 5_000 }
const SAY_AGAIN_MS = 60_000
const LOOK_EVERY_MS = 5_000
const INSUFFICIENT_STORAGE = [10_023, 10_047]

export function createStream(
  link: NatsLink,
  config: GatewayConfig['stream'],
  site: string,
  marks: Marks,
  { clock, log }: { clock: Clock; log: Logger },
): Stream {
  let ready: { connection: NatsConnection; client: JetStreamClient; manager: JetStreamManager } | undefined
  /** Of publications that wait for their PubAck: when the connection is lost, they are not waited for. */
  const unconfirmed = new Set<(reason: Error) => void>()
  let preparing: Promise<void> | undefined
  const stopping = new AbortController()
  const lost: (() => void)[] = []
  let warned = ''
  let looking: Promise<void> = Promise.resolve()
  /** Publications since the stream was last looked at. */
  let took = 0
  let refused = 0

  const findOrMake = async (manager: JetStreamManager): Promise<StreamInfo> => {
    try {
      return await manager.streams.info(TELEMETRY_STREAM)
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== JetStreamApiCodes.StreamNotFound) throw error
    }
    const made = await manager.streams.add({
      name: TELEMETRY_STREAM,
      subjects: [TELEMETRY_SUBJECTS],
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      max_bytes: config.max_bytes,
      num_replicas: config.replicas,
    })
    log.info({ stream: TELEMETRY_STREAM, maxBytes: config.max_bytes }, 'made the stream')
    return made
  }
  const look = ({ config: found }: StreamInfo) => {
    const differences = [
      found.retention === RetentionPolicy.Workqueue
        ? ''
        : `its retention is ${found.retention}, not workqueue: it will not free what is stored`,
      found.storage === StorageType.File ? '' : `its storage is ${found.storage}, not file`,
      found.discard === DiscardPolicy.New
        ? ''
        : `it discards ${found.discard} messages when full: batches get lost before the processor sees them`,
      found.subjects?.includes(TELEMETRY_SUBJECTS) ? '' : `its subjects do not include ${TELEMETRY_SUBJECTS}`,
    ].filter(Boolean)
    const text = differences.join('; ')
    if (text && text !== warned)
      log.error(
        {
          stream: TELEMETRY_STREAM,
          differences,
          hint: `correct it with \`nats stream edit ${TELEMETRY_STREAM}\`, or remove it and it is made anew`,
        },
        'the stream that exists does not fit',
      )
    warned = text
  }
  /** @param before the mark as it was when the stream was asked: what was confirmed since then is not in its answer */
  const compare = ({ created, state }: StreamInfo, before = marks.streamMark) => {
    const last = Number(state.last_seq)
    const createdText = String(created)
    if (before && (before.created !== createdText || last < before.lastSequence)) {
      log.warn(
        { stream: TELEMETRY_STREAM, lastSequence: last, before },
        'the stream lost what it had confirmed; what is not in the store yet is sent again',
      )
      marks.streamMark = { created: createdText, lastSequence: last }
      for (const callback of lost) callback()
    } else
      marks.streamMark = { created: createdText, lastSequence: Math.max(last, marks.streamMark?.lastSequence ?? 0) }
  }
  const prepare = async () => {
    const { signal } = stopping
    let saidMs = Number.NEGATIVE_INFINITY
    for (let attempt = 1; ; attempt++) {
      const connection = await link.waitForConnection(signal)
      try {
        const manager = await jetstreamManager(connection, { checkAPI: false, timeout: ACK_MS_MAX })
        const info = await findOrMake(manager)
        look(info)
        compare(info)
        ready = { connection, client: jetstream(connection, { timeout: ACK_MS_MAX }), manager }
        return
      } catch (error) {
        if (clock.monotonicMs() - saidMs > SAY_AGAIN_MS) {
          saidMs = clock.monotonicMs()
          log.warn(
            { stream: TELEMETRY_STREAM, error: messageOf(error), hint: hintFor(error) },
            'the stream cannot be had; trying again',
          )
        }
        await clock.sleep(backoffDelayMs(BACKOFF, attempt), signal)
      }
    }
  }

  /** Somebody else may have made the stream anew: no publication of ours fails then. */
  const lookAgain = async (): Promise<StreamInfo | undefined> => {
    const before = marks.streamMark
    const info = await ready?.manager.streams.info(TELEMETRY_STREAM)
    if (info) compare(info, before)
    return info
  }
  /**
   * nats-server 2.9 can lose count of the bytes in a stream whose limit was changed, and call it full when nothing is in it. Purging has it count
   * anew; should a message come just then, it is a gap that the processor asks for.
   */
  const purgeWhenEmptyAndFull = async (info: StreamInfo | undefined): Promise<void> => {
    const isStuck = refused > 0 && took === 0 && info?.state.messages === 0
    refused = 0
    took = 0
    if (!isStuck) return
    log.warn(
      { stream: TELEMETRY_STREAM, maxBytes: info.config.max_bytes, bytes: info.state.bytes },
      'the stream is empty and takes nothing; purging it. If this comes again, its max_bytes is smaller than a batch',
    )
    await ready?.manager.streams.purge(TELEMETRY_STREAM)
  }
  const confirmed = (publication: Promise<PubAck>): Promise<PubAck> =>
    new Promise((resolve, reject) => {
      unconfirmed.add(reject)
      publication.then(resolve, reject).finally(() => unconfirmed.delete(reject))
    })
  const prepareOnce = (): Promise<void> => {
    preparing ??= prepare().finally(() => {
      preparing = undefined
    })
    return preparing
  }

  return {
    name: 'stream',
    async start() {
      link.onLost(() => {
        ready = undefined
        for (const giveUp of [...unconfirmed]) giveUp(new Error('the connection to NATS was lost'))
      })
      looking = every(
        LOOK_EVERY_MS,
        () =>
          lookAgain()
            .then(purgeWhenEmptyAndFull)
            .catch(() => undefined),
        { clock, signal: stopping.signal },
      )
      // At once, not only when there is something to send: a stream that lost its data is to be noticed.
      link.onConnected(() => {
        prepareOnce().catch((error) =>
          stopping.signal.aborted ? undefined : log.error({ err: error }, 'the stream was given up'),
        )
      })
    },
    async stop() {
      stopping.abort(new DOMException('stopping', 'AbortError'))
      await preparing?.catch(() => undefined)
      await looking
    },
    get ready() {
      return ready !== undefined && link.connected
    },
    get payloadBytesMax() {
      return ready?.connection.info?.max_payload
    },
    async depth() {
      try {
        const info = await lookAgain()
        // A stream that keeps what was acknowledged says nothing about what waits.
        if (info?.config.retention !== RetentionPolicy.Workqueue) return undefined
        const lastSequence = Number(info.state.last_seq)
        const consumers = (await ready?.manager.consumers.list(TELEMETRY_STREAM).next()) ?? []
        if (consumers.length === 0) return { waiting: Number(info.state.messages), lastSequence }
        return { waiting: consumers.reduce((sum, { num_pending }) => sum + num_pending, 0), lastSequence }
      } catch {
        return undefined
      }
    },
    onLost: (callback) => void lost.push(callback),
    async waitUntilReady(signal) {
      while (!(ready && link.connected)) {
        signal.throwIfAborted()
        await orAbort(prepareOnce(), signal)
      }
    },
    async publish(agent, payload) {
      if (!ready) throw new Error('the stream is not ready')
      try {
        const { seq } = await confirmed(
          ready.client.publish(telemetrySubject(site, agent), payload, { timeout: ACK_MS_MAX }),
        )
        took += 1
        const mark = marks.streamMark
        if (mark && seq > mark.lastSequence) marks.streamMark = { created: mark.created, lastSequence: seq }
      } catch (error) {
        if (error instanceof JetStreamApiError && /maximum (bytes|messages)/.test(error.message)) {
          refused += 1
          throw new StreamFullError(`${TELEMETRY_STREAM} is full: ${error.message}`, { cause: error })
        }
        // No responder, no answer, or refused: the stream may be gone, so it is looked for before the next attempt.
        ready = undefined
        throw error
      }
    },
  }
}

function hintFor(error: unknown): string {
  if (
    error instanceof JetStreamApiError &&
    (INSUFFICIENT_STORAGE.includes(error.code) || /insufficient|storage/.test(error.message))
  )
    return 'lower stream.max_bytes, or raise max_file_store in nats-server.conf'
  if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.JetStreamNotEnabledForAccount)
    return 'enable JetStream for this account in nats-server.conf'
  return 'start nats-server with JetStream: `nats-server -js`, or `jetstream {}` in nats-server.conf'
}
