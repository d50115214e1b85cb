/** A test notification to one receiver, past the outbox: whoever set it up sees at once whether it arrives, and what it says. */
import { randomBytes } from 'node:crypto'
import { messageOf } from '@tributary/runtime'
import type { AlertTransition } from '../alerts/episode.ts'
import { createNotifier, type NotifierDependencies } from './create-notifiers.ts'
import type { NotifierConfig } from './schema.ts'

export interface TestOutcome {
  readonly receiver: string
  readonly type: NotifierConfig['type']
  readonly delivered: boolean
  /** What the receiver answered, or why it was not reached. */
  readonly answer: string
  /** By which the receiver's own log finds it. */
  readonly key: string
}

/**
 * One attempt. Never rejects for what the receiver does; nothing of it stays with a broker that retains, and Alertmanager forgets it
 * by itself.
 * @param given other values than the test's own, such as a severity
 */
export async function sendTest(
  config: NotifierConfig,
  dependencies: NotifierDependencies,
  signal: AbortSignal,
  given: Partial<AlertTransition> = {},
): Promise<TestOutcome> {
  const atMs = Math.floor(dependencies.clock.wallMs())
  const transition: AlertTransition = {
    episode: randomBytes(8).toString('hex'),
    rule: 'test',
    state: 'firing',
    severity: 'info',
    site: 'test',
    device: 'test',
    kind: '',
    field: '',
    detector: '',
    label: '',
    unit: '',
    value: 0,
    expected: null,
    lower: null,
    upper: null,
    message: `A test of the notifier "${config.name}": nothing is wrong, nothing is to be done`,
    startedAtMs: atMs,
    atMs,
    notify: [config.name],
    ...given,
  }
  const key = `${transition.episode}/${transition.state}`
  const notifier = createNotifier(config.type === 'mqtt' ? { ...config, retain: false } : config, dependencies)
  const about = { receiver: config.name, type: config.type, key }
  try {
    return { ...about, delivered: true, answer: await notifier.send({ key, transition, reason: 'test' }, signal) }
  } catch (error) {
    signal.throwIfAborted()
    return { ...about, delivered: false, answer: messageOf(error) }
  }
}
