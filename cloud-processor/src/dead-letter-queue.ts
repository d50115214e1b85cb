/** Reads the stream of dead letters without removing anything: `tributary dlq` and the account stand on it. */
import { JetStreamApiError, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import {
  DEAD_LETTER_STREAM,
  type DeadLetter,
  type DeadLetterStage,
  deadLetterSubject,
  isSettledSubject,
  type LetterSettlement,
  SETTLED_SUBJECTS,
} from '@tributary/protocol'
import { UserError } from '@tributary/runtime'

export interface DeadLetterFilter {
  readonly stage?: DeadLetterStage
  readonly agent?: string
  /** Those too that were dropped: they are out of the queue, and stay dead-lettered. */
  readonly dropped?: boolean
}

const STREAM_NOT_FOUND = 10059

/**
 * Yields every dead letter that is in the queue now, oldest first, each once (a letter may have been published again after a crash);
 * not those that were requeued or dropped. A message that is not one of ours is skipped and counted in `onForeign`.
 */
export async function* readDeadLetters(
  connection: NatsConnection,
  filter: DeadLetterFilter = {},
  onForeign: (subject: string) => void = () => undefined,
): AsyncGenerator<DeadLetter> {
  const settled = new Map<string, Answer[]>()
  for await (const { data, seq } of messagesOf(connection, SETTLED_SUBJECTS)) {
    const { id, requeued, outcome } = parseSettlement(data) ?? UNCHANGED
    if (outcome !== 'unchanged')
      settled.set(id, [...(settled.get(id) ?? []), { seq, requeued, isDrop: outcome === 'dropped' }])
  }
  const seen = new Map<string, number>()
  for await (const message of messagesOf(connection, filterSubject(filter))) {
    if (isSettledSubject(message.subject)) continue
    const letter = parseDeadLetter(message)
    if (!letter) {
      onForeign(message.subject)
      continue
    }
    const requeued = letter.requeued ?? 0
    if (requeued <= (seen.get(letter.id) ?? -1)) continue
    // A letter behind its answer was made anew, because the state was lost that knew of it.
    const answers = (settled.get(letter.id) ?? []).filter((one) => one.seq > message.seq && one.requeued >= requeued)
    const isDropped = answers[0]?.isDrop && answers[0].requeued === requeued
    if (answers.length > 0 && !(filter.dropped && isDropped)) continue
    seen.set(letter.id, requeued)
    yield letter
  }
}

/** Of a letter there may be as many as generations of it; of letters as many as the stream holds. */
interface Answer {
  readonly seq: number
  readonly requeued: number
  readonly isDrop: boolean
}
const UNCHANGED = { id: '', requeued: 0, outcome: 'unchanged' } as const

/** @returns undefined when there is no letter with this id in the queue */
export async function findDeadLetter(connection: NatsConnection, id: string): Promise<DeadLetter | undefined> {
  for await (const letter of readDeadLetters(connection)) if (letter.id === id) return letter
  return undefined
}

/** What became last of a letter: the first answer tells what happened, "it was settled before" only counts when that was lost. */
export async function findSettlement(connection: NatsConnection, id: string): Promise<LetterSettlement | undefined> {
  let found: LetterSettlement | undefined
  for await (const one of readSettlements(connection))
    if (one.id === id && one.outcome !== 'unchanged' && one.requeued > (found?.requeued ?? -1)) found = one
  return found
}

/** Every answer to a request to requeue or drop a letter, oldest first. */
export async function* readSettlements(connection: NatsConnection): AsyncGenerator<LetterSettlement> {
  for await (const { data } of messagesOf(connection, SETTLED_SUBJECTS)) {
    const settlement = parseSettlement(data)
    if (settlement !== undefined) yield settlement
  }
}

/** @returns undefined when the bytes are none */
export function parseSettlement(bytes: Uint8Array): LetterSettlement | undefined {
  try {
    const value = JSON.parse(Buffer.from(bytes).toString('utf8')) as LetterSettlement
    return typeof value.id === 'string' && typeof value.requeued === 'number' ? value : undefined
  } catch {
    return undefined
  }
}

/** Messages that are in the stream now, oldest first. */
async function* messagesOf(connection: NatsConnection, subject: string): AsyncGenerator<JsMsg> {
  const manager = await jetstreamManager(connection)
  try {
    if ((await manager.streams.info(DEAD_LETTER_STREAM)).state.last_seq === 0) return
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return
    throw error
  }
  const consumer = await jetstream(connection).consumers.get(DEAD_LETTER_STREAM, { filter_subjects: subject })
  let left = (await consumer.info()).num_pending
  while (left > 0) {
    const messages = await consumer.fetch({ max_messages: Math.min(left, 500), expires: 5_000 })
    let received = 0
    for await (const message of messages) {
      received += 1
      yield message
    }
    left -= received
    if (received > 0) continue
    // What the stream's limits have pushed out meanwhile does not come any more.
    if ((await consumer.info()).num_pending === 0) return
    throw new UserError(
      `NATS does not send the messages of ${DEAD_LETTER_STREAM} any more: ${left} were still to come`,
      {
        hint: 'ask again when nats-server has recovered; nothing was removed',
      },
    )
  }
}

const filterSubject = ({ stage, agent }: DeadLetterFilter): string =>
  stage && agent ? deadLetterSubject(stage, agent) : `deadletter.v1.${stage ?? '*'}.${agent ?? '*'}`

function parseDeadLetter(message: JsMsg): DeadLetter | undefined {
  try {
    const letter = message.json<DeadLetter>()
    return typeof letter.id === 'string' && typeof letter.reason === 'string' ? letter : undefined
  } catch {
    return undefined
  }
}
