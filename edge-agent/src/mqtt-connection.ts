/**
 * One MQTT connection, from CONNECT to its end: it is never opened again. Whoever needs another one asks for another one, with a new
 * client; so nothing of an old connection, neither a message id nor an unsent packet, can leak into the next.
 */
import { readFile } from 'node:fs/promises'
import { messageOf, PermanentError, UserError } from '@tributary/runtime'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import type { TlsConfig } from './config.ts'

export interface MqttTarget {
  readonly url: string
  readonly clientId: string
  readonly username: string | undefined
  readonly password?: string | undefined
  readonly password_file?: string | undefined
  readonly keepaliveMs: number
  readonly tls?: TlsConfig | undefined
  /** Whether the broker forgets us between connections. */
  readonly clean: boolean
}

export interface MqttConnection {
  readonly client: MqttClient
  readonly sessionPresent: boolean
  /** Resolves, with the reason, when the connection has ended, from whichever side. */
  readonly ended: Promise<string>
  /** It was the other side that closed it, without an error; once `ended`. */
  readonly endedByPeer: boolean
  /** Says DISCONNECT and waits for the socket to close; at once when the signal aborts. */
  close(signal: AbortSignal): Promise<void>
  /** Lets go of the socket without a word. */
  destroy(reason: string): void
}

/** Wrong credentials or a refused client: trying again soon will not help, a person must act. */
export class RefusedError extends PermanentError {
  override readonly name = 'RefusedError'
  readonly hint: string
  constructor(detail: string, hint: string, options?: ErrorOptions) {
    super(detail, options)
    this.hint = hint
  }
}

const CONNECT_MS_MAX = 10_000
const CLOSED_BY_PEER = 'the connection was closed'

/** @param prepare called before the first packet can arrive: sets `handleMessage` */
export async function connectMqtt(
  target: MqttTarget,
  signal: AbortSignal,
  prepare: (client: MqttClient) => void = () => undefined,
): Promise<MqttConnection> {
  const options = await clientOptions(target)
  signal.throwIfAborted()
  const client = mqtt.connect(target.url, options)
  let reason = CLOSED_BY_PEER
  client.on('error', (error) => {
    reason = messageOf(error) || 'the connection failed'
  })
  prepare(client)
  const ended = new Promise<string>((resolve) => client.once('close', () => resolve(reason)))

  const destroy = (why: string) => {
    reason = why
    client.end(true)
    client.stream.destroy()
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      destroy('aborted')
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const settle = () => signal.removeEventListener('abort', onAbort)
    client.once('connect', (connack) => {
      settle()
      resolve({
        client,
        sessionPresent: connack.sessionPresent,
        ended,
        get endedByPeer() {
          return reason === CLOSED_BY_PEER
        },
        destroy,
        close: (closeSignal) => close(client, ended, destroy, closeSignal),
      })
    })
    let refusal: Error | undefined
    client.once('error', (error) => {
      refusal = refusalOf(error, target)
      // A refused CONNECT ends without `close`, an unreachable host without `connect`: end both here.
      settle()
      destroy(messageOf(error))
      reject(refusal)
    })
    ended.then((why) => {
      settle()
      destroy(why)
      reject(refusal ?? new Error(`${target.url}: ${why}`))
    })
  })
}

async function close(
  client: MqttClient,
  ended: Promise<string>,
  destroy: (reason: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const onAbort = () => destroy('no time to say goodbye')
  signal.addEventListener('abort', onAbort, { once: true })
  if (client.connected) {
    // `end` would wait for answers to what is in flight; those come again on the next connection.
    client.disconnecting = true
    client['_cleanUp'](false)
  } else destroy('closed')
  if (signal.aborted) onAbort()
  await ended
  signal.removeEventListener('abort', onAbort)
  client.end(true)
}

async function clientOptions(target: MqttTarget): Promise<IClientOptions> {
  const secret = (path: string | undefined, what: string) => (path === undefined ? undefined : readSecret(path, what))
  const password = target.password ?? (await secret(target.password_file, 'password_file'))?.toString('utf8').trimEnd()
  const [ca, cert, key] = await Promise.all([
    secret(target.tls?.ca, 'tls.ca'),
    secret(target.tls?.cert, 'tls.cert'),
    secret(target.tls?.key, 'tls.key'),
  ])
  return {
    protocolVersion: 4,
    clientId: target.clientId,
    clean: target.clean,
    keepalive: Math.max(1, Math.round(target.keepaliveMs / 1_000)),
    reconnectPeriod: 0,
    connectTimeout: CONNECT_MS_MAX,
    resubscribe: false,
    queueQoSZero: false,
    ...(target.username === undefined ? {} : { username: target.username }),
    ...(password === undefined ? {} : { password }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  }
}

async function readSecret(path: string, setting: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new UserError(`${setting} ${path} cannot be read`, {
      cause: error,
      hint: 'correct the path, or give the agent permission to read it',
    })
  }
}

function refusalOf(error: Error, { url, username, clientId }: MqttTarget): Error {
  const code = 'code' in error ? error.code : undefined
  if (code === 4 || code === 5)
    return new RefusedError(
      `${url} refuses the credentials of "${username ?? '(no username)'}"`,
      'correct username and password (or password_file) in the config; the broker must know this user',
      { cause: error },
    )
  if (code === 1 || code === 2 || code === 134 || code === 135)
    return new RefusedError(`${url} refuses the client "${clientId}": ${error.message}`, 'see the log of the broker', {
      cause: error,
    })
  return new Error(`${url}: ${messageOf(error) || code || 'no connection'}`, { cause: error })
}
