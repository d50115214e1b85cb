/** Reads the stream of dead letters without removing anything: `tributary dlq` and the account stand on it. */
import { JetStreamApiError, type JsMsg, jetstream, jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { DEAD_LETTER_STREAM, type DeadLetter, type DeadLetterStage, deadLetterSubject } from '@tributary/protocol'

export interface DeadLetterFilter {
  readonly stage?: DeadLetterStage
  readonly agent?: string
}

const STREAM_NOT_FOUND = 10059

/**
 * Yields every dead letter that is in the stream now, oldest first, each id once (a letter may have been published again after a crash).
 * A message that is not one of ours is skipped and counted in `onForeign`.
 */
export async function* readDeadLetters(
  connection: NatsConnection,
  filter: DeadLetterFilter = {},
  onForeign: (subject: string) => void = () => undefined,
): AsyncGenerator<DeadLetter> {
  const manager = await jetstreamManager(connection)
  let last: number
  try {
    last = (await manager.streams.info(DEAD_LETTER_STREAM)).state.last_seq
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return
    throw error
  }
  if (last === 0) return
  const consumer = await jetstream(connection).consumers.get(DEAD_LETTER_STREAM, {
    filter_subjects: filterSubject(filter),
  })
  const pending = (await consumer.info()).num_pending
  const seen = new Set<string>()
  let left = pending
  while (left > 0) {
    const messages = await consumer.fetch({ max_messages: Math.min(left, 500), expires: 5_000 })
    let received = 0
    for await (const message of messages) {
      received += 1
      const letter = parseDeadLetter(message)
      if (!letter) onForeign(message.subject)
      else if (!seen.has(letter.id)) {
        seen.add(letter.id)
        yield letter
      }
    }
    left -= received
    if (received === 0) return
  }
}

/** @returns undefined when there is no letter with this id */
export async function findDeadLetter(connection: NatsConnection, id: string): Promise<DeadLetter | undefined> {
  for await (const letter of readDeadLetters(connection)) if (letter.id === id) return letter
  return undefined
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
