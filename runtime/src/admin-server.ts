/** A small HTTP server a process, on loopback: `/healthz`, `/readyz`, `/metrics`, and what the process adds as JSON. */
import { createServer, type Server } from 'node:http'
import type { HostPort } from './config-values.ts'
import { errorCode, messageOf, UserError } from './errors.ts'
import type { Metrics } from './metrics.ts'
import type { Service } from './service.ts'

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
  },
): AdminServer {
  let server: Server | undefined
  const answer = async (target: string): Promise<{ status: number; type: string; body: string }> => {
    const url = new URL(`http://admin${target}`)
    const json = (value: unknown, status = 200) => ({
      status,
      type: 'application/json',
      body: `${JSON.stringify(value)}\n`,
    })
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
  return {
    name: 'admin server',
    get port() {
      const address = server?.address()
      return typeof address === 'object' && address !== null ? address.port : listen.port
    },
    start: () =>
      new Promise((resolve, reject) => {
        server = createServer((request, response) => {
          if (request.method !== 'GET') {
            response.writeHead(405).end()
            return
          }
          answer(request.url ?? '/')
            .catch((error) => ({
              status: 500,
              type: 'application/json',
              body: `${JSON.stringify({ error: messageOf(error) })}\n`,
            }))
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
