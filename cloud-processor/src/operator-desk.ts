/** The processor's side of questions about alerts, over core NATS: what is open, and whether a receiver takes a notification. */
import { randomBytes } from 'node:crypto'
import type { Msg, NatsConnection } from '@nats-io/transport-node'
import {
  ALERTS_QUESTION_SUBJECT,
  parseControlMessage,
  RECEIVER_TEST_SUBJECT,
  type ReceiverTestAnswer,
  receiverTest,
} from '@tributary/protocol'
import { type Clock, messageOf } from '@tributary/runtime'
import { alertsOf } from './alert-list.ts'
import type { AlertEngine, AlertTransition } from './alerts/index.ts'
import type { PartitionLoop } from './loop.ts'
import type { Notifier } from './notifiers/index.ts'

export const RECEIVER_TEST_MS_MAX = 20_000

export interface OperatorDeskDependencies {
  readonly processor: string
  readonly site: string
  readonly loops: () => readonly Pick<PartitionLoop, 'partition' | 'state' | 'ready'>[]
  readonly engine: () => AlertEngine
  readonly notifiers: readonly Notifier[]
  readonly clock: Clock
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
  { processor, site, notifiers, clock }: OperatorDeskDependencies,
): Promise<ReceiverTestAnswer> {
  const answer = { processor, receivers: notifiers.map(({ name }) => name) }
  const notifier = notifiers.find(({ name }) => name === receiver)
  if (notifier === undefined) return { ...answer, isKnown: false, tookMs: 0 }
  const transition = testTransition(receiver, site, Math.floor(clock.wallMs()))
  const startMs = clock.monotonicMs()
  const tookMs = () => Math.round(clock.monotonicMs() - startMs)
  try {
    const said: unknown = await notifier.send(
      { key: `${transition.episode}/firing`, transition, reason: 'test' },
      AbortSignal.timeout(RECEIVER_TEST_MS_MAX),
    )
    return { ...answer, isKnown: true, tookMs: tookMs(), ...(typeof said === 'string' ? { said } : {}) }
  } catch (error) {
    return { ...answer, isKnown: true, tookMs: tookMs(), fault: messageOf(error) }
  }
}

const testTransition = (receiver: string, site: string, nowMs: number): AlertTransition => ({
  episode: randomBytes(8).toString('hex'),
  rule: 'test',
  state: 'firing',
  severity: 'info',
  site,
  device: '*',
  kind: '',
  field: '',
  detector: '',
  label: '',
  unit: '',
  value: 1,
  expected: null,
  lower: null,
  upper: null,
  message: `This is a test of the receiver ${receiver}: nothing is wrong`,
  startedAtMs: nowMs,
  atMs: nowMs,
  notify: [],
})
