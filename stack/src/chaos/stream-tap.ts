/** What passes through NATS, overheard: the newest batches, to be sent again, and every dead letter, which a wiped NATS would forget. */
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { readDeadLetters } from '@tributary/cloud-processor'
import { DEAD_LETTER_SUBJECTS, type DeadLetter, isSettledSubject, TELEMETRY_SUBJECTS } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { createRefusedReadings, type RefusedReadings } from '../refused-readings.ts'
import type { Random } from './random.ts'

export interface StreamTap {
  readonly refused: RefusedReadings
  /** Connects, now or when NATS is there, and again whenever it comes back. */
  start(natsUrl: string): Promise<void>
  /** Adds the letters that are in the stream now to those overheard. */
  readLetters(): Promise<void>
  /** Publishes earlier batches again, in another order. @returns how many */
  repeatBatches(random: Random): Promise<number>
  stop(): Promise<void>
}

/** Soon after a fault NATS may take longer to answer than its client waits. */
const READING_ATTEMPTS_MAX = 5
const BATCHES_MAX = 100
const BATCH_BYTES_MAX = 8 * 1024 * 1024

export function createStreamTap(): StreamTap {
  const refused = createRefusedReadings()
  const batches: { subject: string; data: Uint8Array }[] = []
  let bytes = 0
  let connection: NatsConnection | undefined
  const needed = (): NatsConnection => {
    if (!connection) throw new Error('the tap is not connected')
    return connection
  }
  return {
    refused,
    async start(natsUrl) {
      const retrying = { waitOnFirstConnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 250 }
      connection = await connect({ servers: natsUrl, ...retrying })
      connection.subscribe(TELEMETRY_SUBJECTS, {
        callback: (error, message) => {
          if (error) return
          batches.push({ subject: message.subject, data: message.data })
          bytes += message.data.length
          while (batches.length > BATCHES_MAX || bytes > BATCH_BYTES_MAX) bytes -= batches.shift()?.data.length ?? 0
        },
      })
      connection.subscribe(DEAD_LETTER_SUBJECTS, {
        callback: (error, message) => {
          if (!error && !isSettledSubject(message.subject)) refused.add(message.json<DeadLetter>())
        },
      })
    },
    async readLetters() {
      for (let attempt = 1; ; attempt++)
        try {
          for await (const letter of readDeadLetters(needed())) refused.add(letter)
          return
        } catch (error) {
          if (attempt === READING_ATTEMPTS_MAX) throw error
          await systemClock.sleep(1_000)
        }
    },
    async repeatBatches(random) {
      const again = random.shuffle(batches)
      for (const { subject, data } of again) needed().publish(subject, data)
      await needed().flush()
      return again.length
    },
    async stop() {
      await connection?.close()
    },
  }
}
