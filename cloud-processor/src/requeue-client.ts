/** Asks the processor to requeue or drop dead letters, and hears what became of each: `tributary dlq requeue|drop` stands on it. */
import { JetStreamApiError, jetstream } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import {
  type DeadLetter,
  isName,
  type LetterSettlement,
  type RequeueRequest,
  requeueSubject,
  SETTLED_SUBJECTS,
  TELEMETRY_STREAM,
} from '@tributary/protocol'
import { type Clock, messageOf, UserError } from '@tributary/runtime'
import { parseSettlement, readSettlements } from './dead-letter-queue.ts'
import { readingsOfLetter } from './letter-readings.ts'

/** Asked for and not yet answered; a further one waits. A letter takes at most some 90 KiB. */
export const REQUESTS_OPEN_MAX = 128
const LOOK_MS = 50

export interface RequestOptions {
  readonly action: RequeueRequest['action']
  /** Names this run: answers to others are left alone. */
  readonly request: string
  /** So long nothing at all is answered, and no more is waited for. */
  readonly patienceMs: number
  readonly clock: Clock
  /** Called with each letter once: with the answer; or a sentence why it was not sent; or undefined, when nobody answered in time. */
  readonly onAnswer: (letter: DeadLetter, answer: LetterSettlement | string | undefined) => void
}

/**
 * Sends a request for each letter and waits for the answers. A letter that was sent and not answered is not lost: the request waits in the
 * stream until a processor takes it, and asking again changes nothing.
 * @throws UserError when the stream takes no request
 */
export async function requestLetters(
  connection: NatsConnection,
  letters: AsyncIterable<DeadLetter>,
  { action, request, patienceMs, clock, onAnswer }: RequestOptions,
  signal: AbortSignal,
): Promise<void> {
  const client = jetstream(connection)
  const open = new Map<string, DeadLetter>()
  let heardAtMs = clock.monotonicMs()
  const hear = (answer: LetterSettlement | undefined) => {
    const letter = answer?.request === request ? open.get(answer.id) : undefined
    if (answer === undefined || letter === undefined) return
    open.delete(answer.id)
    heardAtMs = clock.monotonicMs()
    onAnswer(letter, answer)
  }
  const subscription = connection.subscribe(SETTLED_SUBJECTS, {
    callback: (error, message) => (error ? undefined : hear(parseSettlement(message.data))),
  })
  const waitUntil = async (openMax: number) => {
    while (open.size > openMax && !signal.aborted && clock.monotonicMs() - heardAtMs < patienceMs)
      await clock.sleep(LOOK_MS, signal).catch(() => undefined)
    return open.size <= openMax
  }
  try {
    await connection.flush()
    for await (const letter of letters) {
      if (signal.aborted) break
      const obstacle = obstacleToRequest(letter, action)
      if (obstacle !== undefined) {
        onAnswer(letter, obstacle)
        continue
      }
      if (!(await waitUntil(REQUESTS_OPEN_MAX - 1))) break
      if (open.size === 0) heardAtMs = clock.monotonicMs()
      open.set(letter.id, letter)
      const message: RequeueRequest = { request, action, letter }
      await client
        .publish(requeueSubject(letter.site, letter.agent), Buffer.from(JSON.stringify(message), 'utf8'))
        .catch((error: unknown) => {
          open.delete(letter.id)
          throw new UserError(`the stream ${TELEMETRY_STREAM} does not take requests (${messageOf(error)})`, {
            cause: error,
            hint:
              error instanceof JetStreamApiError
                ? 'it may be full: see that processors work, then ask again; what was asked for is not repeated'
                : 'start the processor, which makes it, and ask again',
          })
        })
    }
    await waitUntil(0)
    // An answer that was not overheard, as over a reconnection, still stands in the stream.
    if (open.size > 0 && !signal.aborted) for await (const answer of readSettlements(connection)) hear(answer)
  } finally {
    subscription.unsubscribe()
    for (const letter of open.values()) onAnswer(letter, undefined)
  }
}

/** @returns why a letter is not asked for at all */
export function obstacleToRequest(letter: DeadLetter, action: RequeueRequest['action']): string | undefined {
  if (!isName(letter.site) || !isName(letter.agent))
    return `nobody can tell of which agent it is (${letter.site}/${letter.agent})`
  const readings = action === 'requeue' ? readingsOfLetter(letter) : undefined
  return typeof readings === 'string' ? readings : undefined
}
