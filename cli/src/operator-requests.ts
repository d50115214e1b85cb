/** What `tributary alert` and `tributary anomaly` share: how a request is made, and how its answers are said. */
import { randomBytes } from 'node:crypto'
import { userInfo } from 'node:os'
import type { NatsConnection } from '@nats-io/transport-node'
import { type OperatorAnswer, type OperatorRequest, operatorRequest } from '@tributary/protocol'
import { systemClock, UserError } from '@tributary/runtime'
import { type Command, Option } from 'commander'
import { natsOption, withNats } from './nats-connection.ts'
import { duration } from './option-values.ts'
import { print } from './print.ts'

const EXIT_INTERRUPTED = 130

export interface AskingOptions {
  readonly nats: string
  /** Milliseconds. */
  readonly wait: number
  readonly json?: boolean
}

export interface SayingOptions extends AskingOptions {
  readonly by: string
  readonly comment: string
}

export const withAsking = (command: Command): Command =>
  command
    .addOption(natsOption())
    .addOption(
      new Option('--wait <duration>', 'give up waiting when no processor answers for so long')
        .argParser(duration)
        .default(2_000, '2s'),
    )

export const withSaying = (command: Command): Command =>
  withAsking(command).option('--by <name>', 'who says so', userName()).option('--comment <text>', 'why', '')

function userName(): string {
  try {
    return userInfo().username
  } catch {
    return 'unknown'
  }
}

/** Connects, and lets Ctrl-C end the waiting. */
export async function withOperators<T>(
  { nats, wait }: AskingOptions,
  work: (
    connection: NatsConnection,
    how: { clock: typeof systemClock; patienceMs: number },
    signal: AbortSignal,
  ) => Promise<T>,
): Promise<T> {
  const stopping = new AbortController()
  const onSignal = () => {
    process.exitCode = EXIT_INTERRUPTED
    stopping.abort(new DOMException('interrupted', 'AbortError'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    return await withNats(nats, (connection) =>
      work(connection, { clock: systemClock, patienceMs: wait }, stopping.signal),
    )
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

/** The open alerts, silences and anomalies of all partitions, and of which partitions nobody answered. */
export async function lookAtAlerts(options: AskingOptions) {
  const { ALL_PARTITIONS, gatherAlerts } = await import('@tributary/cloud-processor')
  const found = await withOperators(options, gatherAlerts)
  if (found.size === 0)
    throw new UserError('no processor answers', { hint: 'start one, or give its NATS server with --nats' })
  const all = [...found.values()].sort((a, b) => a.partition - b.partition)
  return {
    alerts: all.flatMap(({ alerts }) => alerts),
    silences: all
      .flatMap(({ silences }) => silences)
      .filter(({ id }, i, list) => list.findIndex((one) => one.id === id) === i),
    anomalies: all.flatMap(({ anomalies }) => anomalies),
    more: all.reduce((sum, { more }) => sum + more, 0),
    moreSilences: Math.max(...all.map(({ moreSilences }) => moreSilences)),
    unanswered: ALL_PARTITIONS.filter((partition) => !found.has(partition)),
  }
}

type Request = OperatorRequest extends infer One
  ? One extends OperatorRequest
    ? Omit<One, 'request' | 'by' | 'comment'>
    : never
  : never

/** @returns the answers, by partition. @throws UserError when it is nothing that a processor would take */
export async function ask(
  partitions: readonly number[],
  asked: Request,
  options: SayingOptions,
): Promise<ReadonlyMap<number, OperatorAnswer>> {
  const { by, comment } = options
  const request = { request: randomBytes(8).toString('hex'), by, comment, ...asked } as OperatorRequest
  const { error } = operatorRequest.safeParse(request)
  if (error) throw new UserError(error.issues.map(({ path, message }) => `${optionAt(path)} ${message}`).join('; '))
  const { askPartitions } = await import('@tributary/cloud-processor')
  return withOperators(options, (connection, how, signal) =>
    askPartitions(connection, partitions, request, how, signal),
  )
}

/** `match.device[3]` is what `--device` said. */
function optionAt(path: readonly PropertyKey[]): string {
  const [first] = path.filter((part) => part !== 'match')
  return `--${first === 'forMs' ? 'for' : String(first)}`
}

export interface Said {
  /** `unanswered`: the request waits in the stream. */
  readonly outcome: OperatorAnswer['outcome'] | 'unanswered'
  readonly detail: string
  /** Partitions. */
  readonly unanswered: number
}

/** What became of it, of several answers the one that matters most. */
export function summary(answers: ReadonlyMap<number, OperatorAnswer>, asked: number): Said {
  const all = [...answers.values()]
  const order = ['refused', 'done', 'unchanged', 'unknown'] as const
  const best = order.flatMap((outcome) => all.filter((one) => one.outcome === outcome))[0]
  const { outcome, detail } = best ?? { outcome: 'unanswered' as const, detail: '' }
  return { outcome, detail, unanswered: asked - all.length }
}

const AGAIN = 'asking again changes nothing'

/** @param again what it means to ask once more. @throws UserError when it could not be done */
export function say(
  what: string,
  { outcome, detail, unanswered }: Said,
  json: boolean | undefined,
  again: string = AGAIN,
): void {
  if (!json) {
    if (outcome === 'done') print(`${what}: done`)
    else if (outcome === 'unchanged') print(`${what}: nothing to do, ${detail}`)
    if (unanswered > 0)
      print(
        `${unanswered} partition${unanswered === 1 ? '' : 's'} did not answer: the request waits in the stream until a processor takes it; ${again}`,
      )
  }
  if (outcome === 'refused' || outcome === 'unknown') throw new UserError(`${what}: ${detail}`)
  if (outcome === 'unanswered') process.exitCode ??= 1
}

/** Of what was not asked about. */
export function sayUnanswered(unanswered: readonly number[]): void {
  if (unanswered.length === 0) return
  process.stderr.write(
    `no processor answered for partition${unanswered.length === 1 ? '' : 's'} ${unanswered.join(', ')}: what is open there is not listed\n`,
  )
}
