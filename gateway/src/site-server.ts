/**
 * The gateway's side of the site view (`protocol/src/site-tap.ts`): on loopback, a token on every request. Nothing here waits for a
 * reader, and what it takes in goes through admission.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { type DerivedSample, derivedSamples } from '@tributary/protocol'
import {
  errorCode,
  type HostPort,
  type Logger,
  listenError,
  messageOf,
  type Service,
  UserError,
} from '@tributary/runtime'
import { type Derived, NotTaken } from './derived.ts'
import { Refusal } from './refusals.ts'
import { siteTokenFile } from './site-view-config.ts'
import type { Tap } from './tap.ts'

const CONNECTIONS_MAX = 32
const BODY_BYTES_MAX = 1024 * 1024
const REQUEST_MS_MAX = 15_000
const TOKEN_BYTES = 24

export interface SiteServer extends Service {
  readonly port: number
}

export function createSiteServer(
  { tap: listen, folder }: { readonly tap: HostPort; readonly folder: string },
  { tap, derived, status }: { tap: Tap; derived: Derived; status: () => unknown },
  { log }: { log: Logger },
): SiteServer {
  let server: Server | undefined
  let token = ''

  const isAllowed = (request: IncomingMessage) =>
    timingSafeEqual(digest(request.headers.authorization ?? ''), digest(`Bearer ${token}`))
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    if (!isAllowed(request)) return say(response, 401, `the token lies in ${siteTokenFile(folder)}`)
    switch (`${request.method} ${request.url}`) {
      case 'GET /batches':
        return stream(response)
      case 'GET /status':
        return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status()))
      case 'POST /samples':
        derived.checkPace()
        await derived.admit(await readSamples(request))
        return void response.writeHead(204).end()
      default:
        return say(response, 404, `there is no ${request.method} ${request.url} here`)
    }
  }
  const stream = (response: ServerResponse) => {
    const end = tap.attach({
      write: (bytes) => void response.write(bytes),
      get unsentBytes() {
        return response.writableLength
      },
    })
    if (!end) return say(response, 503, 'the tap has as many readers as it may have')
    response.once('close', end)
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    response.flushHeaders()
  }
  return {
    name: 'site server',
    get port() {
      const address = server?.address()
      return typeof address === 'object' && address !== null ? address.port : listen.port
    },
    async start() {
      token = await readOrMakeToken(folder)
      const made = createServer({ requestTimeout: REQUEST_MS_MAX }, (request, response) => {
        answer(request, response).catch((error) => {
          const status = statusOf(error)
          if (status === 500) log.error({ err: error }, 'a request of the site view failed')
          say(response, status, messageOf(error))
        })
      })
      made.maxConnections = CONNECTIONS_MAX
      server = made
      await new Promise<void>((resolve, reject) => {
        made.once('error', (error) => reject(listenError(error, 'site_view.tap', listen)))
        made.listen(listen.port, listen.host, resolve)
      })
    },
    stop: () =>
      new Promise((resolve) => {
        if (!server?.listening) return resolve()
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest()

function say(response: ServerResponse, status: number, error: string): void {
  if (response.headersSent) response.destroy()
  else
    response
      .writeHead(status, { 'content-type': 'application/json', ...(status === 413 ? { connection: 'close' } : {}) })
      .end(JSON.stringify({ error }))
}

const STATUSES = { busy: 503, too_fast: 429, unfit: 400 } as const
function statusOf(error: unknown): number {
  if (error instanceof NotTaken) return STATUSES[error.reason]
  if (error instanceof Refusal) return 503
  if (error instanceof BadBody) return error.status
  return 500
}

class BadBody extends Error {
  readonly status: number
  constructor(status: number, detail: string) {
    super(detail)
    this.status = status
  }
}

async function readSamples(request: IncomingMessage): Promise<DerivedSample[]> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += part.length
    if (length > BODY_BYTES_MAX) throw new BadBody(413, `at most ${BODY_BYTES_MAX} bytes`)
    parts.push(part)
  }
  let body: unknown
  try {
    body = JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (error) {
    throw new BadBody(400, `not JSON: ${messageOf(error)}`)
  }
  const { success, data, error } = derivedSamples.safeParse(body)
  if (success) return data.samples
  throw new BadBody(
    400,
    error.issues
      .slice(0, 5)
      .map(({ path, message }) => `${path.join('.')}: ${message}`)
      .join('; '),
  )
}

async function readOrMakeToken(folder: string): Promise<string> {
  const file = siteTokenFile(folder)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(file, `${randomBytes(TOKEN_BYTES).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 }).catch(
      (error) => {
        if (errorCode(error) !== 'EEXIST') throw error
      },
    )
    const token = (await readFile(file, 'utf8')).trim()
    if (token.length < TOKEN_BYTES) throw new Error('holds no token: delete it, another is made')
    return token
  } catch (error) {
    throw new UserError(`site_view.folder: ${file} cannot be used: ${messageOf(error)}`, {
      cause: error,
      hint: 'give a folder that the gateway may write to',
    })
  }
}
