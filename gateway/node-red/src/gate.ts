// Guarantee: nothing behind the gate sees a request or an upgrade that does not carry a session. It stands before the one server that
// Node-RED, its editor, the dashboard and socket.io hang themselves on, so none of them can be reached round it.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock, Logger } from '@tributary/runtime'
import type { Login } from './login.ts'
import { loginPage } from './login-page.ts'

const COOKIE = 'tributary_site'
const FORM_BYTES_MAX = 4_096
/** Passwords that wait to be looked at; one is looked at at a time. */
const ATTEMPTS_WAITING_MAX = 8
/** What a wrong password costs. */
const WRONG_MS = 1_000

/** What stands behind: an HTTP server that listens nowhere. */
export interface Behind {
  emit(event: 'request', request: IncomingMessage, response: ServerResponse): boolean
  emit(event: 'upgrade', request: IncomingMessage, socket: Duplex, head: Buffer): boolean
}
export interface Gate {
  request(request: IncomingMessage, response: ServerResponse): void
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Wrong passwords, and attempts that found no room. */
  readonly refused: number
}

export function createGate(
  behind: Behind,
  login: Login,
  { homePath, isSecure, title }: { homePath: string; isSecure: boolean; title: string },
  { clock, log }: { clock: Clock; log: Logger },
): Gate {
  let waiting = 0
  let refused = 0
  let last: Promise<unknown> = Promise.resolve()

  const hasSession = ({ headers }: IncomingMessage) =>
    (headers.cookie ?? '').split(/; */).some((cookie) => {
      const [name, value = ''] = cookie.split('=')
      return name === COOKIE && login.isSession(value)
    })
  const setCookie = (value: string, seconds: number) =>
    `${COOKIE}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`
  const showLogin = (response: ServerResponse, status: number, complaint = '') =>
    response
      .writeHead(status, {
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'no-store',
        'content-security-policy':
          "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
      })
      .end(loginPage(title, complaint))
  const verify = async (user: string, password: string): Promise<boolean> => {
    const isRight = await login.verify(user, password)
    if (!isRight) await clock.sleep(WRONG_MS)
    return isRight
  }
  const logIn = async (request: IncomingMessage, response: ServerResponse) => {
    const form = await readForm(request)
    if (!form || waiting >= ATTEMPTS_WAITING_MAX) {
      refused += 1
      showLogin(response, form ? 429 : 413, form ? 'Too many attempts at once. Try again.' : 'That is no login.')
      return
    }
    waiting += 1
    const mine = last.then(() => verify(form.get('user') ?? '', form.get('password') ?? ''))
    last = mine.catch(() => undefined)
    const isRight = await mine.finally(() => {
      waiting -= 1
    })
    if (!isRight) {
      refused += 1
      log.warn({ from: request.socket.remoteAddress }, 'a wrong password for the site view')
      showLogin(response, 401, 'User or password is wrong.')
      return
    }
    const { value, seconds } = login.openSession()
    response.writeHead(303, { location: homePath, 'set-cookie': setCookie(value, seconds) }).end()
  }
  return {
    get refused() {
      return refused
    },
    request(request, response) {
      const path = (request.url ?? '/').split('?')[0]
      if (path === '/healthz') response.writeHead(200, { 'content-type': 'application/json' }).end('{"alive":true}\n')
      else if (path === '/login' && request.method === 'POST')
        logIn(request, response).catch((error) => {
          log.warn({ err: error }, 'a login failed')
          if (response.headersSent) response.destroy()
          else showLogin(response, 500, 'The login failed.')
        })
      else if (path === '/logout') response.writeHead(303, { location: '/login', 'set-cookie': setCookie('', 0) }).end()
      else if (hasSession(request)) {
        if (path === '/' || path === '/login') response.writeHead(303, { location: homePath }).end()
        else behind.emit('request', request, response)
      } else if (request.method === 'GET' && request.headers.accept?.includes('text/html')) showLogin(response, 401)
      else response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"log in at /login"}\n')
    },
    upgrade(request, socket, head) {
      socket.on('error', () => socket.destroy())
      if (hasSession(request)) behind.emit('upgrade', request, socket, head)
      else socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n')
    },
  }
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  let text = ''
  for await (const part of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    text += part.toString('utf8')
    if (text.length > FORM_BYTES_MAX) return undefined
  }
  return new URLSearchParams(text)
}
