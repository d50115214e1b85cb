/** Asks the processors about alerts, and for something to be done about them: `tributary alert` and `anomaly` stand on it. */
import { jetstream } from '@nats-io/jetstream'
import { createInbox, type NatsConnection } from '@nats-io/transport-node'
import {
  ALERTS_QUESTION_SUBJECT,
  type OperatorAnswer,
  type OperatorRequest,
  operatorAnswerSubject,
  operatorSubject,
  PARTITION_COUNT,
  RECEIVER_TEST_SUBJECT,
  type ReceiverTestAnswer,
  TELEMETRY_STREAM,
} from '@tributary/protocol'
import { type Clock, messageOf, UserError } from '@tributary/runtime'
import type { PartitionAlerts } from './alert-list.ts'
import { RECEIVER_TEST_MS_MAX } from './operator-desk.ts'

export const ALL_PARTITIONS: readonly number[] = Array.from({ length: PARTITION_COUNT }, (_, i) => i)
const LOOK_MS = 20

export interface AskOptions {
  readonly clock: Clock
  /** So long nothing at all is answered, and no more is waited for. */
  readonly patienceMs: number
}

/** @returns what each partition answered; those of which no processor answers are not in it */
export async function gatherAlerts(
  connection: NatsConnection,
  options: AskOptions,
  signal: AbortSignal,
): Promise<Map<number, PartitionAlerts>> {
  const found = new Map<number, PartitionAlerts>()
  const inbox = createInbox()
  const ask = async () => connection.publish(ALERTS_QUESTION_SUBJECT, '', { reply: inbox })
  const take = (answer: PartitionAlerts) => found.set(answer.partition, answer)
  await listen(connection, inbox, ask, take, PARTITION_COUNT, options, signal)
  return found
}

/**
 * Puts a request into the streams of partitions. One that is not answered waits there until a processor takes it; asked again it changes nothing.
 * @returns what each answered that did in time
 */
export async function askPartitions(
  connection: NatsConnection,
  partitions: readonly number[],
  request: OperatorRequest,
  options: AskOptions,
  signal: AbortSignal,
): Promise<Map<number, OperatorAnswer>> {
  const found = new Map<number, OperatorAnswer>()
  const client = jetstream(connection)
  const bytes = Buffer.from(JSON.stringify(request), 'utf8')
  const send = async () => {
    await Promise.all(partitions.map((partition) => client.publish(operatorSubject(partition), bytes))).catch(
      (error: unknown) => {
        throw new UserError(`the stream ${TELEMETRY_STREAM} does not take requests (${messageOf(error)})`, {
          cause: error,
          hint: 'start the processor, which makes it, and ask again',
        })
      },
    )
  }
  const take = (answer: OperatorAnswer) => found.set(answer.partition, answer)
  await listen(connection, operatorAnswerSubject(request.request), send, take, partitions.length, options, signal)
  return found
}

/** @param take gives what is known by then; as many as wanted are enough */
async function listen<One>(
  connection: NatsConnection,
  subject: string,
  send: () => Promise<void>,
  take: (one: One) => ReadonlyMap<number, One>,
  wanted: number,
  { clock, patienceMs }: AskOptions,
  signal: AbortSignal,
): Promise<void> {
  let heardAtMs = clock.monotonicMs()
  let known = 0
  const subscription = connection.subscribe(subject, {
    callback: (error, message) => {
      // Nobody listens to the question, says the server.
      if (error || message.data.length === 0) return
      known = take(message.json<One>()).size
      heardAtMs = clock.monotonicMs()
    },
  })
  try {
    await connection.flush()
    await send()
    heardAtMs = clock.monotonicMs()
    while (known < wanted && !signal.aborted && clock.monotonicMs() - heardAtMs < patienceMs)
      await clock.sleep(LOOK_MS, signal).catch(() => undefined)
  } finally {
    subscription.unsubscribe()
  }
}

/** @throws UserError when no processor answers */
export async function testReceiver(connection: NatsConnection, receiver: string): Promise<ReceiverTestAnswer> {
  const message = await connection
    .request(RECEIVER_TEST_SUBJECT, JSON.stringify({ receiver }), { timeout: RECEIVER_TEST_MS_MAX + 2_000 })
    .catch((error: unknown) => {
      throw new UserError('no processor answers', { cause: error, hint: 'start one: it sends the notifications' })
    })
  return message.json<ReceiverTestAnswer>()
}
