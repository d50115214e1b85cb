/** A real HTTP server for tests that receives what webhooks send, and misbehaves at a given rate. */
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'

export interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Receiver {
  readonly url: string
  readonly port: number
  /** Every request that was answered with 2xx, in order. */
  readonly taken: Received[]
  /** Every request, also those that were refused. */
  readonly requests: Received[]
  close(): Promise<void>
}

export type Behaviour =
  | {
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      readonly body?: string
      /** What it does instead of ending the body. */
      readonly end?: 'destroy' | 'hang'
    }
  /** Takes the request and destroys the connection before, or instead of, an answer. */
  | 'destroy'
  /** Says nothing. */
  | 'hang'

/** @param behave what to do with the n-th request, from 0 on */
export async function startReceiver(
  behave: (n: number, request: Received) => Behaviour,
  { port = 0, tls }: { readonly port?: number; readonly tls?: ServerOptions } = {},
): Promise<Receiver> {
  const taken: Received[] = []
  const requests: Received[] = []
  const onRequest: RequestListener = async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const received = { path: request.url ?? '', headers: request.headers, body: Buffer.concat(chunks).toString('utf8') }
    const behaviour = behave(requests.length, received)
    requests.push(received)
    if (behaviour === 'hang') return
    if (behaviour === 'destroy') {
      request.socket.destroy()
      return
    }
    if (behaviour.status >= 200 && behaviour.status < 300) taken.push(received)
    response.writeHead(behaviour.status, behaviour.headers)
    if (behaviour.end === undefined) response.end(behaviour.body)
    else response.write(behaviour.body ?? ' ', () => behaviour.end === 'destroy' && request.socket.destroy())
  }
  const server = tls === undefined ? createServer(onRequest) : createTlsServer(tls, onRequest)
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  const bound = typeof address === 'object' && address ? address.port : 0
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${bound}/hook`,
    port: bound,
    taken,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
