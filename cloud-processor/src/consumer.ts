/**
 * One partition's durable pull consumer. It pulls ahead a little and holds that in a bounded queue; what is not acknowledged
 * comes again when the consumer is made anew: at the start, after every reconnection and after every pull that did not end as it
 * should, since what the server had sent then would else come only after `ACK_WAIT_MS`. Whoever starts last has the partition:
 * the consumer bears its name, and who had it before sees that and ends, instead of taking turns at deleting each other's consumer.
 *
 * Guarantee: a message is acknowledged only to the stream that it came from. A stream that was made anew, or went back to an
 * older copy of its data, gives its sequences to other messages; acknowledging by them would remove what nobody has seen. So what
 * was delivered before the connection was lost, or before the consumer was made anew, is never acknowledged: it comes again.
 * Who stops gives back what it has not acknowledged: a pull of one that is being replaced may still have been served by the consumer
 * of its successor, which would else see those messages after `ACK_WAIT_MS` only. To give back what is another's already does no harm.
 * What was delivered to nobody who is there any more shows, since the stream is not acknowledged any further: then the consumer is made anew.
 */
import {
  AckPolicy,
  type Consumer,
  type ConsumerInfo,
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type StreamInfo,
} from '@nats-io/jetstream'
import { BATCH_BYTES_MAX, TELEMETRY_STREAM, telemetryPartitionFilter } from '@tributary/protocol'
import { backoffDelayMs, type Clock, type Logger, messageOf } from '@tributary/runtime'
import { TakenOverError } from './checkpoint.ts'
import { ensureStreams } from './nats.ts'

/** One pull: nats.js stalls when messages times payload passes 64 MB, and 24 of the largest batches stay under 32 MB. */
export const PULL_MESSAGES_MAX = 24
/** In the queue; a further pull waits for room. */
export const QUEUE_MESSAGES_MAX = 64
export const QUEUE_BYTES_MAX = 8 * BATCH_BYTES_MAX
/** Delivered and not acknowledged: more than lies between two checkpoints. */
export const ACK_PENDING_MAX = 1_024
/** Longer than any write that waits for a database; a new start does not wait for it. */
const ACK_WAIT_MS = 10 * 60_000
const PULL_EXPIRES_MS = 10_000
const PULL_GRACE_MS = 2_000
const NANOSECONDS_PER_MS = 1_000_000
/** Longest wait for the server before what is held is given back. */
const ANSWER_MS_MAX = 1_000
/** How often one looks whether the consumer is still one's own, and nothing is withheld. */
const OWNER_EVERY_MS = 5_000
/** A message may have been on its way to us as we looked. */
const WITHHELD_LOOKS = 2

/** A stretch of the stream's life in which a sequence means one message. */
export interface StreamLife {
  /** 1, 2, 3, …: how many this consumer has seen. */
  readonly number: number
  /** When the stream was made, as the server says it. */
  readonly created: string
  /** The last sequence of the stream when it began. */
  readonly lastSequence: number
}

export interface PartitionConsumer {
  /** Deletes the consumer and makes it again: everything not acknowledged comes again, in order. */
  start(signal: AbortSignal): Promise<void>
  /**
   * What is there, at most so many bytes (at least one message). Waits for the first one, at most until `waitMs` have passed;
   * then for others until `lingerMs` have passed or there is enough. Rejects when another processor took the partition.
   */
  take(limits: { bytesMax: number; waitMs: number; lingerMs: number }, signal: AbortSignal): Promise<JsMsg[]>
  /** Messages in the stream behind the last one delivered. */
  readonly pending: number
  /** undefined before the first `start` */
  readonly life: StreamLife | undefined
  /** Says to the stream that it may forget a message; one that comes again is left alone. */
  acknowledge(message: JsMsg): void
  /** The connection is lost: who knows what the server will remember. */
  disconnected(): void
  reconnected(): void
  stop(): Promise<void>
}

export const consumerName = (partition: number): string => `processor-${partition}`

export function createPartitionConsumer(
  partition: number,
  {
    client,
    manager,
    owner,
    clock,
    log,
  }: {
    client: JetStreamClient
    manager: JetStreamManager
    /** Says who works on the partition, and differs between any two runs. */
    owner: string
    clock: Clock
    log: Logger
  },
): PartitionConsumer {
  let queue: JsMsg[] = []
  let queueBytes = 0
  let pending = 0
  let running = new AbortController()
  let pulling: Promise<void> | undefined
  let takenOver: TakenOverError | undefined
  let life: StreamLife | undefined
  /** Highest sequence of this life that was seen. */
  let highestSequence = 0
  /** Counts how often what was delivered before became void. */
  let making = 0
  const makingOf = new WeakMap<JsMsg, number>()
  /** Delivered since the consumer was made, and not acknowledged, and which delivery it was; oldest first, at most `ACK_PENDING_MAX`. */
  const held = new Map<JsMsg, number>()
  let deliveries = 0
  /** How the last look found it; the floor is NaN when nothing was unacknowledged. */
  let looked = { floor: Number.NaN, deliveries: 0, withheld: 0 }
  /** The consumer must be made anew, whatever the server says of it. */
  let isVoid = false
  /** When our consumer was made, by the server's clock. */
  let madeAt = Number.NEGATIVE_INFINITY
  /** Ends the pull under way, so that the consumer is made anew. */
  let interrupt: () => void = () => undefined
  let wake: () => void = () => undefined
  let room: () => void = () => undefined

  function noteLife({ created, state }: StreamInfo): void {
    const lastSequence = Number(state.last_seq)
    const isSame = life !== undefined && String(created) === life.created && lastSequence >= highestSequence
    highestSequence = isSame ? Math.max(highestSequence, lastSequence) : lastSequence
    if (isSame) return
    if (life !== undefined)
      log.warn(
        { partition, created: String(created), lastSequence, before: life },
        'the stream is not the one it was: it was made anew, or went back to older data',
      )
    life = { number: (life?.number ?? 0) + 1, created: String(created), lastSequence }
  }

  async function recreate(): Promise<Consumer> {
    await ensureStreams(manager)
    noteLife(await manager.streams.info(TELEMETRY_STREAM))
    queue = []
    queueBytes = 0
    held.clear()
    looked = { floor: Number.NaN, deliveries, withheld: 0 }
    making += 1
    await manager.consumers.delete(TELEMETRY_STREAM, consumerName(partition)).catch((error: unknown) => {
      if (!(error instanceof JetStreamApiError)) throw error
    })
    const made = await manager.consumers.add(TELEMETRY_STREAM, {
      durable_name: consumerName(partition),
      description: owner,
      filter_subject: telemetryPartitionFilter(partition),
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: ACK_WAIT_MS * NANOSECONDS_PER_MS,
      max_ack_pending: ACK_PENDING_MAX,
      max_deliver: -1,
    })
    madeAt = Date.parse(made.created)
    return client.consumers.get(TELEMETRY_STREAM, consumerName(partition))
  }

  /** Whether what is acknowledged has not moved on for some looks, and what holds it up is none of what we hold. */
  function isWithheld({ num_ack_pending, ack_floor }: ConsumerInfo): boolean {
    const floor = num_ack_pending === 0 ? Number.NaN : ack_floor.stream_seq
    const [oldest = Number.POSITIVE_INFINITY] = held.values()
    const withheld = floor === looked.floor && oldest > looked.deliveries ? looked.withheld + 1 : 0
    looked = { floor, deliveries, withheld }
    return withheld >= WITHHELD_LOOKS
  }

  /**
   * @returns false when there is no consumer any more, as after a stream was deleted, or one from before ours, as after an older
   * copy of the stream's data was put back, or one that withholds messages
   * @throws TakenOverError when somebody else has made the consumer anew
   */
  async function checkOwner(): Promise<boolean> {
    const found = await manager.consumers.info(TELEMETRY_STREAM, consumerName(partition)).catch((error: unknown) => {
      if (error instanceof JetStreamApiError) return undefined
      throw error
    })
    const theirs = found?.config.description
    if (found === undefined || Date.parse(found.created) < madeAt) return false
    if (theirs === owner) return Date.parse(found.created) === madeAt && !isWithheld(found)
    takenOver = new TakenOverError(partition, theirs || 'somebody else')
    wake()
    throw takenOver
  }

  const hasRoom = () => queue.length < QUEUE_MESSAGES_MAX && queueBytes < QUEUE_BYTES_MAX

  async function pull(first: Consumer, signal: AbortSignal): Promise<void> {
    let consumer: Consumer | undefined = first
    let checkedAtMs = clock.monotonicMs()
    for (let attempt = 1; !signal.aborted; ) {
      try {
        if (isVoid) consumer = undefined
        isVoid = false
        const due = clock.monotonicMs() - checkedAtMs > OWNER_EVERY_MS
        if (consumer === undefined || due) {
          checkedAtMs = clock.monotonicMs()
          const isOurs = await checkOwner()
          if (consumer === undefined || !isOurs) {
            log.info({ partition }, 'the consumer is made anew')
            consumer = await recreate()
          }
        }
        while (!hasRoom() && !signal.aborted)
          await new Promise<void>((resolve) => {
            room = resolve
          })
        if (signal.aborted) return
        if (!(await pullOnce(consumer, signal))) consumer = undefined
        attempt = 1
      } catch (error) {
        if (signal.aborted || takenOver !== undefined) return
        const delayMs = backoffDelayMs({ firstMs: 200, maxMs: 5_000 }, attempt++)
        log.warn(
          { partition, attempt, delayMs: Math.round(delayMs), reason: messageOf(error) },
          'pulling from the stream failed',
        )
        consumer = undefined
        await clock.sleep(delayMs, signal).catch(() => undefined)
      }
    }
  }

  /** @returns false when the pull was interrupted: what the server sent for it may be lost */
  async function pullOnce(consumer: Consumer, signal: AbortSignal): Promise<boolean> {
    const messages = await consumer.fetch({
      max_messages: PULL_MESSAGES_MAX,
      expires: PULL_EXPIRES_MS,
    })
    const current = making
    let interrupted = false
    const stop = () => {
      interrupted = true
      messages.stop()
    }
    interrupt = stop
    signal.addEventListener('abort', stop, { once: true })
    // The client waits for ever when the server forgets the pull, as over a restart.
    const cancel = clock.after(PULL_EXPIRES_MS + PULL_GRACE_MS, stop)
    try {
      for await (const message of messages) {
        if (interrupted) {
          message.nak()
          continue
        }
        makingOf.set(message, current)
        held.set(message, ++deliveries)
        highestSequence = Math.max(highestSequence, message.seq)
        queue.push(message)
        queueBytes += message.data.length
        pending = message.info.pending
        wake()
      }
    } finally {
      cancel()
      interrupt = () => undefined
      signal.removeEventListener('abort', stop)
    }
    return !interrupted
  }

  return {
    get pending() {
      return pending + queue.length
    },
    get life() {
      return life
    },
    acknowledge(message) {
      if (makingOf.get(message) === making) message.ack()
      held.delete(message)
    },
    disconnected() {
      making += 1
      isVoid = true
    },
    reconnected() {
      isVoid = true
      interrupt()
    },
    async start(signal) {
      takenOver = undefined
      for (let attempt = 1; ; attempt++) {
        try {
          const consumer = await recreate()
          running = new AbortController()
          pulling = pull(consumer, running.signal)
          return
        } catch (error) {
          signal.throwIfAborted()
          const delayMs = backoffDelayMs({ firstMs: 200, maxMs: 5_000 }, attempt)
          log.warn(
            { partition, attempt, delayMs: Math.round(delayMs), reason: messageOf(error) },
            'the consumer cannot be made',
          )
          await clock.sleep(delayMs, signal)
        }
      }
    },
    async take({ bytesMax, waitMs, lingerMs }, signal) {
      const startMs = clock.monotonicMs()
      const woken = (untilMs: number) =>
        new Promise<void>((resolve) => {
          const cancel = Number.isFinite(untilMs)
            ? clock.after(Math.max(0, untilMs - clock.monotonicMs()), finish)
            : () => undefined
          function finish() {
            cancel()
            signal.removeEventListener('abort', finish)
            resolve()
          }
          wake = finish
          signal.addEventListener('abort', finish, { once: true })
        })
      while (queue.length === 0 && !takenOver && !signal.aborted && clock.monotonicMs() - startMs < waitMs)
        await woken(startMs + waitMs)
      if (queue.length > 0)
        while (queueBytes < bytesMax && hasRoom() && !signal.aborted && clock.monotonicMs() - startMs < lingerMs)
          await woken(startMs + lingerMs)
      if (takenOver) throw takenOver
      const taken: JsMsg[] = []
      let bytes = 0
      for (const message of queue) {
        if (taken.length > 0 && bytes + message.data.length > bytesMax) break
        bytes += message.data.length
        taken.push(message)
      }
      queue = queue.slice(taken.length)
      queueBytes -= bytes
      room()
      return taken
    },
    async stop() {
      running.abort()
      room()
      wake()
      await pulling
      if (held.size > 0) {
        // Once the server has answered it knows that our pull is over: what is given back does not come to it again.
        const answered = manager.consumers.info(TELEMETRY_STREAM, consumerName(partition)).catch(() => undefined)
        const waited = new AbortController()
        await Promise.race([answered, clock.sleep(ANSWER_MS_MAX, waited.signal)])
        waited.abort()
        for (const message of held.keys()) message.nak()
        held.clear()
      }
      queue = []
      queueBytes = 0
    },
  }
}
