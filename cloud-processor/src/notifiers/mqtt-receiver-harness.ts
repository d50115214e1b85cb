/** A real MQTT broker on a socket for tests, which takes what is published, and misbehaves as it is told. */
import { createServer, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { Aedes, type AuthenticateError } from 'aedes'

export interface ReceivedMessage {
  readonly topic: string
  readonly payload: string
  readonly qos: number
  readonly retain: boolean
}

export interface MqttReceiver {
  readonly url: string
  readonly port: number
  /** Every message that was acknowledged, in order. */
  readonly taken: ReceivedMessage[]
  close(): Promise<void>
}

export type MqttBehaviour =
  | 'take'
  /** Ends the connection instead of acknowledging. */
  | 'destroy'
  /** Says nothing. */
  | 'hang'
  /** Refuses the credentials. */
  | 'refuse'

/** @param behave what to do with the n-th connection, from 0 on */
export async function startMqttReceiver(
  behave: (n: number) => MqttBehaviour,
  { port = 0, tls }: { readonly port?: number; readonly tls?: TlsOptions } = {},
): Promise<MqttReceiver> {
  const taken: ReceivedMessage[] = []
  const sockets = new Set<Socket>()
  const behaviours = new Map<string, MqttBehaviour>()
  let count = 0
  const aedes = await Aedes.createBroker({
    authenticate(client, _username, _password, callback) {
      const behaviour = behave(count++)
      behaviours.set(client.id, behaviour)
      if (behaviour === 'refuse') callback(Object.assign(new Error('no'), { returnCode: 4 }) as AuthenticateError, null)
      else callback(null, true)
    },
    authorizePublish(client, { topic, payload, qos, retain }, callback) {
      const behaviour = behaviours.get(client?.id ?? '')
      if (behaviour === 'hang') return
      if (behaviour === 'destroy') {
        client?.conn.destroy()
        return
      }
      taken.push({ topic, payload: payload.toString(), qos, retain })
      callback(null)
    },
  })
  const onSocket = (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    aedes.handle(socket)
  }
  const server = tls === undefined ? createServer(onSocket) : createTlsServer(tls, onSocket)
  server.on('tlsClientError', () => undefined)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', () => resolve()))
  const address = server.address()
  const bound = typeof address === 'object' && address ? address.port : 0
  return {
    url: `${tls === undefined ? 'mqtt' : 'mqtts'}://127.0.0.1:${bound}`,
    port: bound,
    taken,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
      await new Promise<void>((resolve) => aedes.close(() => resolve()))
    },
  }
}
