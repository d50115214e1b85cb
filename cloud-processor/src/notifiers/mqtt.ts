/**
 * Publishes the documented JSON at QoS 1: delivered when the broker has acknowledged it. With `retain` a topic holds the newest
 * state of what it names, for whoever subscribes later. Each is a connection of its own, with a client id of its own.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type Clock, PermanentError } from '@tributary/runtime'
import type { IClientOptions } from 'mqtt'
import { clip, escapeTopicLevel } from './escape.ts'
import { factsOf } from './facts.ts'
import { AccessRefusedError, type Notifier } from './notifier.ts'
import { payloadOf } from './payload.ts'
import { renderTemplate } from './template.ts'
import { withTimeLimit } from './time-limit.ts'
import type { Wording } from './wording.ts'

export interface MqttOptions extends Wording {
  readonly name: string
  /** mqtt: or mqtts: */
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Each connection's is this and some digits. */
  readonly clientId: string
  /** A template; what is put in is one level. */
  readonly topic: string
  readonly retain: boolean
  readonly timeoutMs: number
  readonly caFile?: string | undefined
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
}

const TOPIC_CHARACTERS_MAX = 1_000
/** CONNACK codes: the client id, user name or password, or the client itself is refused. */
const CREDENTIALS = new Set<unknown>([4, 5])
const REFUSED = new Set<unknown>([1, 2])

export function mqttNotifier(options: MqttOptions, { clock }: { readonly clock: Clock }): Notifier {
  const { name, url, timeoutMs, retain } = options
  const where = new URL(url).host
  return {
    name,
    send: (notification, signal) =>
      withTimeLimit({ clock, signal, timeoutMs, where }, async (limited) => {
        const facts = factsOf(notification, options.dashboardUrl ?? '')
        const topic = clip(renderTemplate(options.topic, facts, escapeTopicLevel), TOPIC_CHARACTERS_MAX)
        const payload = JSON.stringify(payloadOf(notification, options))
        await publish({ url, options: await clientOptions(options), topic, payload, retain }, limited).catch(
          (error) => {
            throw classified(error, where, name)
          },
        )
        return `${where} acknowledged ${topic}`
      }),
  }
}

async function clientOptions(options: MqttOptions): Promise<IClientOptions> {
  const read = (path: string | undefined) => (path === undefined ? undefined : readFile(path))
  const [ca, cert, key] = await Promise.all([options.caFile, options.certFile, options.keyFile].map(read))
  return {
    protocolVersion: 4,
    clientId: `${options.clientId}-${randomBytes(4).toString('hex')}`,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: options.timeoutMs,
    ...(options.username === undefined ? {} : { username: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  }
}

interface Publication {
  readonly url: string
  readonly options: IClientOptions
  readonly topic: string
  readonly payload: string
  readonly retain: boolean
}

/** Resolves with the PUBACK; nothing of the connection is left then, nor after a failure. */
async function publish({ url, options, topic, payload, retain }: Publication, signal: AbortSignal): Promise<void> {
  const { default: mqtt } = await import('mqtt')
  signal.throwIfAborted()
  const client = mqtt.connect(url, options)
  let onAbort: () => void = () => undefined
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      client.on('error', reject)
      client.once('close', () => reject(new Error('the connection was closed')))
      client.once('connect', () =>
        client.publish(topic, payload, { qos: 1, retain }, (error) => (error ? reject(error) : resolve())),
      )
    })
    client.end()
  } catch (error) {
    client.end(true)
    client.stream.destroy()
    throw error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

function classified(error: unknown, where: string, name: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (CREDENTIALS.has(code))
    return new AccessRefusedError(
      `${where} refuses the credentials (check username and password of notifier "${name}")`,
    )
  if (REFUSED.has(code))
    return new AccessRefusedError(`${where} refuses the client (check client_id of notifier "${name}")`)
  if (error instanceof Error && /invalid topic/i.test(error.message))
    return new PermanentError(`${where}: ${error.message} (check topic of notifier "${name}")`)
  return error
}
