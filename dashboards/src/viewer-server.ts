/** Draws the provisioned dashboards in a browser, without Grafana: serves the page, the JSON and a read-only query proxy. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import {
  type Clock,
  createLogger,
  type HostPort,
  type Logger,
  type LogLevel,
  listenError,
  messageOf,
  runUntilSignal,
  type Service,
  systemClock,
} from '@tributary/runtime'
import { createDashboardFiles } from './dashboard-files.ts'
import { docsPage } from './docs-pages.ts'
import { dashboardsFolder } from './provisioning-folder.ts'
import { createQueryProxy, type InfluxAccess, PROXY_LIMITS, type ProxyLimits } from './query-proxy.ts'
import { type Assets, loadAssets } from './viewer-assets.ts'

export interface ViewerOptions {
  readonly listen: HostPort
  readonly influx: InfluxAccess
  /** Folder of Grafana dashboards, one JSON file each; the committed ones when left out. */
  readonly dashboardsFolder?: string
  /** Prebuilt browser files; bundled from the sources when left out. */
  readonly assetsFolder?: string
  readonly limits?: ProxyLimits
}

export interface Viewer extends Service {
  /** Where a browser finds it, with the port in use. */
  readonly url: string
}

const DOCS_PATH = '/docs/'
const GZIP_BYTES_MIN = 1_024
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string | Buffer
  readonly etag?: string
}

export function createViewer(options: ViewerOptions, { clock, log }: { clock: Clock; log: Logger }): Viewer {
  const { listen } = options
  const dashboards = createDashboardFiles(options.dashboardsFolder ?? dashboardsFolder, log)
  const query = createQueryProxy(options.influx, clock, options.limits ?? PROXY_LIMITS)
  let assets: Assets = new Map()
  let server: Server | undefined

  const file = (name: string): Answer | undefined => {
    const found = assets.get(name)
    return found && { status: 200, type: found.type, body: found.body, etag: found.etag }
  }
  const answer = async (request: IncomingMessage, signal: AbortSignal): Promise<Answer> => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return json({ error: 'only GET is answered' }, 405)
    if (isLoopback(listen.host) && !isLoopback(hostName(request.headers.host)))
      return json({ error: `this viewer is for this machine only, not for ${request.headers.host}` }, 421)
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://viewer')
    if (pathname === '/healthz') return json({ alive: true })
    // A page of somebody else cannot read an answer, but it could keep the database busy.
    const site = request.headers['sec-fetch-site'] ?? 'none'
    if (pathname.startsWith('/api/') && site !== 'same-origin' && site !== 'none')
      return json({ error: 'only pages of this viewer may ask' }, 403)
    if (pathname === '/api/dashboards') return json(await dashboards.list())
    if (pathname.startsWith('/api/dashboards/')) {
      const uid = pathname.slice('/api/dashboards/'.length)
      const text = await dashboards.get(uid)
      return text === undefined
        ? json({ error: `there is no dashboard ${uid}` }, 404)
        : { status: 200, type: 'application/json', body: text }
    }
    if (pathname === '/api/query') {
      const { status, body } = await query(searchParams.get('q') ?? '', signal)
      return { status, type: 'application/json', body }
    }
    if (pathname.startsWith('/assets/'))
      return file(pathname.slice('/assets/'.length)) ?? json({ error: `there is no ${pathname}` }, 404)
    if (pathname.startsWith(DOCS_PATH)) {
      const page = await docsPage(pathname.slice(DOCS_PATH.length))
      return page === undefined
        ? json({ error: `there is no document ${pathname}` }, 404)
        : { status: 200, type: 'text/html; charset=utf-8', body: page }
    }
    if (pathname === '/' || pathname.startsWith('/d/')) return file('index.html') as Answer
    return json({ error: `there is no ${pathname} here` }, 404)
  }
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    try {
      send(request, response, await answer(request, gone.signal))
    } catch (error) {
      if (gone.signal.aborted) return
      log.error({ err: error, path: request.url }, 'a request could not be answered')
      send(request, response, json({ error: messageOf(error) }, 500))
    }
  }
  return {
    name: 'viewer',
    get url() {
      const address = server?.address()
      const port = typeof address === 'object' && address !== null ? address.port : listen.port
      const host = listen.host === '0.0.0.0' || listen.host === '::' ? 'localhost' : listen.host
      return `http://${host.includes(':') ? `[${host}]` : host}:${port}/`
    },
    async start() {
      await dashboards.list()
      assets = await loadAssets(options.assetsFolder)
      const created = createServer((request, response) => void handle(request, response))
      server = created
      await new Promise<void>((resolve, reject) => {
        created.once('error', (error) => reject(listenError(error, 'viewer.listen', listen)))
        created.listen(listen.port, listen.host, resolve)
      })
      if (!isLoopback(listen.host))
        log.warn({ host: listen.host }, 'the viewer has no login: whoever reaches this port can read the database')
    },
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

function send(request: IncomingMessage, response: ServerResponse, { status, type, body, etag }: Answer): void {
  const headers: Record<string, string> = {
    ...SECURITY_HEADERS,
    'content-type': type,
    'cache-control': etag ? 'no-cache' : 'no-store',
    ...(etag ? { etag } : {}),
  }
  if (etag && request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end()
    return
  }
  const bytes = Buffer.from(body)
  const compress =
    bytes.length >= GZIP_BYTES_MIN &&
    type !== 'font/woff2' &&
    /\bgzip\b/.test(String(request.headers['accept-encoding']))
  const sent = compress ? gzipSync(bytes, { level: 4 }) : bytes
  if (compress) headers['content-encoding'] = 'gzip'
  response.writeHead(status, { ...headers, 'content-length': sent.length, vary: 'accept-encoding' })
  response.end(request.method === 'HEAD' ? undefined : sent)
}

const isLoopback = (host: string | undefined): boolean =>
  host !== undefined && (host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host))

/** `[::1]:3001` → `::1`. */
const hostName = (header: string | undefined): string | undefined =>
  header?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')

/**
 * Runs the viewer until SIGINT or SIGTERM; `onListening` is told its address.
 * @returns the exit code
 */
export async function runViewer(
  options: ViewerOptions & { readonly logLevel?: LogLevel; readonly onListening?: (url: string) => void },
): Promise<number> {
  const log = createLogger('viewer', options.logLevel ?? 'info')
  const viewer = createViewer(options, { clock: systemClock, log })
  return runUntilSignal(
    {
      name: viewer.name,
      async start(signal) {
        await viewer.start(signal)
        log.info({ url: viewer.url }, 'dashboards are to be seen')
        options.onListening?.(viewer.url)
      },
      stop: (signal) => viewer.stop(signal),
    },
    { log },
  )
}
