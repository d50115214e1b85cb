/** The processor's side of questions about alerts, over core NATS: what is open, and whether a receiver takes a notification. */
import type { Msg, NatsConnection } from '@nats-io/transport-node'
import {
  ALERTS_QUESTION_SUBJECT,
  parseControlMessage,
  RECEIVER_TEST_SUBJECT,
  type ReceiverTestAnswer,
  receiverTest,
} from '@tributary/protocol'
import { alertsOf } from './alert-list.ts'
import type { AlertEngine } from './alerts/index.ts'
import type { PartitionLoop } from './loop.ts'
import { type NotifierConfig, type NotifierDependencies, sendTest, type TestOutcome } from './notifiers/index.ts'

export const RECEIVER_TEST_MS_MAX = 20_000

export interface OperatorDeskDependencies {
  readonly processor: string
  readonly site: string
  readonly loops: () => readonly Pick<PartitionLoop, 'partition' | 'state' | 'ready'>[]
  readonly engine: () => AlertEngine
  readonly notifiers: readonly NotifierConfig[]
  readonly notifying: NotifierDependencies
}

/** Answers until the connection is closed. */
export function answerOperators(connection: NatsConnection, dependencies: OperatorDeskDependencies): void {
  const { processor, loops, engine } = dependencies
  const on = (subject: string, take: (message: Msg) => void, queue?: string) =>
    connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => (error ? undefined : take(message)),
    })
  on(ALERTS_QUESTION_SUBJECT, (message) => {
    for (const { partition, state, ready } of loops())
      if (ready) message.respond(JSON.stringify(alertsOf(processor, partition, state, engine())))
  })
  // One processor is enough: receivers are told once.
  on(
    RECEIVER_TEST_SUBJECT,
    (message) => {
      const asked = parseControlMessage(receiverTest, message.data)
      if (asked)
        void testReceiver(asked.receiver, dependencies).then((answer) => message.respond(JSON.stringify(answer)))
    },
    'processors',
  )
}

async function testReceiver(
  receiver: string,
  { processor, site, notifiers, notifying }: OperatorDeskDependencies,
): Promise<ReceiverTestAnswer> {
  const answer = { processor, receivers: notifiers.map(({ name }) => name) }
  const config = notifiers.find(({ name }) => name === receiver)
  if (config === undefined) return { ...answer, isKnown: false, tookMs: 0 }
  const { clock } = notifying
  const startMs = clock.monotonicMs()
  const signal = AbortSignal.timeout(RECEIVER_TEST_MS_MAX)
  const outcome = await sendTest(config, notifying, signal, { site, device: '*' }).catch(
    (): Pick<TestOutcome, 'delivered' | 'answer'> => ({
      delivered: false,
      answer: `no answer within ${RECEIVER_TEST_MS_MAX / 1000} s`,
    }),
  )
  const tookMs = Math.round(clock.monotonicMs() - startMs)
  return { ...answer, isKnown: true, tookMs, [outcome.delivered ? 'said' : 'fault']: outcome.answer }
}
