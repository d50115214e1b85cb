/** A small HTTP server a process, on loopback: `/healthz`, `/readyz`, `/metrics`, and what the process adds as JSON. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { HostPort } from './config-values.ts'
import { errorCode, messageOf, UserError } from './errors.ts'
import type { Metrics } from './metrics.ts'
import type { Service } from './service.ts'

const BODY_BYTES_MAX = 64 * 1024

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

export interface AdminServer extends Service {
  /** The port in use, also when 0 was asked for. */
  readonly port: number
}

export function createAdminServer(
  listen: HostPort,
  options: {
    metrics: Metrics
    /** Ready, or the reason why not. */
    ready: () => true | string
    /** Path → JSON. */
    routes?: Readonly<Record<string, (query: URLSearchParams) => unknown | Promise<unknown>>>
    /** Path → what a POST of JSON from this machine does; a `UserError` is answered with 400. */
    actions?: Readonly<Record<string, (body: unknown) => unknown | Promise<unknown>>>
  },
): AdminServer {
  let server: Server | undefined
  const answer = async (target: string): Promise<Answer> => {
    const url = new URL(`http://admin${target}`)
    if (url.pathname === '/healthz') return json({ alive: true })
    if (url.pathname === '/readyz') {
      const ready = options.ready()
      return ready === true ? json({ ready }) : json({ ready: false, reason: ready }, 503)
    }
    if (url.pathname === '/metrics')
      return { status: 200, type: options.metrics.registry.contentType, body: await options.metrics.registry.metrics() }
    const route = options.routes?.[url.pathname]
    return route ? json(await route(url.searchParams)) : json({ error: `there is no ${url.pathname} here` }, 404)
  }
  /** Only for this machine, and only as JSON, which no foreign page in a browser can send unasked. */
  const act = async (request: IncomingMessage): Promise<Answer> => {
    const action = options.actions?.[new URL(`http://admin${request.url ?? '/'}`).pathname]
    if (!action) return json({ error: 'nothing here takes a POST' }, 405)
    if (!/^(::ffff:)?127\.|^::1$/.test(request.socket.remoteAddress ?? ''))
      return json({ error: 'only from this machine' }, 403)
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
      return json({ error: 'send JSON, with content-type: application/json' }, 415)
    const parts: Buffer[] = []
    let length = 0
    for await (const part of request as AsyncIterable<Buffer>) {
      length += part.length
      if (length > BODY_BYTES_MAX) return json({ error: `at most ${BODY_BYTES_MAX} bytes` }, 413)
      parts.push(part)
    }
    let body: unknown
    try {
      body = JSON.parse(Buffer.concat(parts).toString('utf8'))
    } catch (error) {
      return json({ error: `not JSON: ${messageOf(error)}` }, 400)
    }
    try {
      return json(await action(body))
    } catch (error) {
      if (error instanceof UserError) return json({ error: error.message, hint: error.hint }, 400)
      throw error
    }
  }
  return {
    name: 'admin server',
    get port() {
      const address = server?.address()
      return typeof address === 'object' && address !== null ? address.port : listen.port
    },
    start: () =>
      new Promise((resolve, reject) => {
        server = createServer((request, response) => {
          if (request.method !== 'GET' && request.method !== 'POST') {
            response.writeHead(405).end()
            return
          }
          const answering = request.method === 'POST' ? act(request) : answer(request.url ?? '/')
          answering
            .catch((error) => json({ error: messageOf(error) }, 500))
            .then(({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body))
        })
        server.once('error', (error) => reject(listenError(error, 'admin.listen', listen)))
        server.listen(listen.port, listen.host, () => resolve())
      }),
    stop: () =>
      new Promise((resolve) => {
        if (!server?.listening) {
          resolve()
          return
        }
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const json = (value: unknown, status = 200): Answer => ({
  status,
  type: 'application/json',
  body: `${JSON.stringify(value)}\n`,
})

/** An occupied or forbidden port, said so that a person knows which setting to change. */
export function listenError(error: Error, setting: string, { host, port }: HostPort): Error {
  const code = errorCode(error)
  if (code === 'EADDRINUSE')
    return new UserError(`${host}:${port} is in use by another program`, {
      cause: error,
      hint: `change ${setting} in the config, or stop the other program (\`ss -ltnp 'sport = :${port}'\` names it)`,
    })
  if (code === 'EACCES')
    return new UserError(`no permission to listen on ${host}:${port}`, {
      cause: error,
      hint: `choose a port above 1023 for ${setting}`,
    })
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return new UserError(`${host} is no address of this machine`, {
      cause: error,
      hint: `correct ${setting} in the config`,
    })
  return error
}
