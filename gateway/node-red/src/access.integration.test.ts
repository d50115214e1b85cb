/** Whoever does not know the password gets nothing: no page, no socket, no editor, no file of them, however the request is dressed. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { logIn, type Site, startSite, until } from './testing.ts'

let site: Site
let cookie: string

beforeAll(async () => {
  site = await startSite()
  const found = await logIn(site.url, site.password)
  if (!found) throw new Error('the printed password is not taken')
  cookie = found
}, 120_000)
afterAll(() => site?.stop())

const PATHS = [
  '/dashboard/site',
  '/dashboard',
  '/dashboard/_setup',
  '/dashboard/_debug/datastore/tributary-template',
  '/dashboard/manifest.webmanifest',
  '/dashboard/socket.io/?EIO=4&transport=polling',
  '/dashboard/socket.io/socket.io.js',
  '/editor/',
  '/editor/flows',
  '/editor/settings',
  '/editor/nodes',
  '/editor/auth/login',
  '/editor/auth/token',
  '/editor/comms',
  '/editor/diagnostics',
  '/',
  '/anything',
  '//dashboard/site',
  '/healthz/../dashboard/site',
  '/login/../editor/flows',
]
const FORGED = [
  '',
  'tributary_site=',
  'tributary_site=9999999999999.',
  `tributary_site=9999999999999.${'A'.repeat(43)}`,
  'tributary_site=1.x; connect.sid=s%3Aadmin',
]

/** Node's own, which sends a path as it is. */
const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  new Promise<{ status: number; body: string }>((resolve, reject) => {
    const { hostname, port } = new URL(site.url)
    const asked = request({ hostname, port, path, method, headers }, (response) => {
      let body = ''
      response.on('data', (part) => {
        body += part
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
    asked.on('error', reject)
    asked.end()
  })

const upgrade = (path: string, headers: Record<string, string> = {}) =>
  new Promise<number>((resolve, reject) => {
    const { hostname, port } = new URL(site.url)
    const asked = request({
      hostname,
      port,
      path,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.from('0123456789abcdef').toString('base64'),
        ...headers,
      },
    })
    asked.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve(response.statusCode ?? 0)
    })
    asked.on('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    asked.on('error', reject)
    asked.end()
  })

describe('without a session', () => {
  test.each(PATHS)('%s is refused', async (path) => {
    for (const forged of FORGED)
      for (const method of ['GET', 'POST', 'PATCH', 'OPTIONS'])
        expect((await ask(path, { cookie: forged, accept: '*/*' }, method)).status, `${method} ${forged}`).toBe(401)
    for (const authorization of [
      `Bearer ${site.password}`,
      `Basic ${Buffer.from(`admin:${site.password}`).toString('base64')}`,
    ])
      expect((await ask(path, { authorization })).status).toBe(401)
    const { status, body } = await ask(path, { accept: 'text/html' })
    expect(status).toBe(401)
    expect(body).toContain('Log in')
    expect(body).not.toMatch(/Node-RED|socket\.io|dashboard|<script/i)
  })

  test.each(['/dashboard/socket.io/?EIO=4&transport=websocket', '/editor/comms', '/'])(
    'no socket at %s',
    async (path) => {
      for (const forged of FORGED) expect(await upgrade(path, { cookie: forged })).toBe(401)
    },
  )
})

describe('with a session', () => {
  test('the page, its files and its socket are there', async () => {
    expect((await ask('/dashboard/site', { cookie })).body).toContain('<div id="app"')
    expect((await ask('/dashboard/socket.io/?EIO=4&transport=polling', { cookie })).body).toContain('"sid"')
    expect(await upgrade('/editor/comms', { cookie })).toBe(101)
  })

  test('the editor asks again: the page alone changes no flow', async () => {
    for (const path of ['/editor/flows', '/editor/settings', '/editor/nodes'])
      expect((await ask(path, { cookie })).status, path).toBe(401)
    const token = async (password: string) => {
      const response = await fetch(`${site.url}/editor/auth/token`, {
        method: 'POST',
        headers: { cookie },
        body: new URLSearchParams({
          client_id: 'node-red-admin',
          grant_type: 'password',
          scope: '*',
          username: 'admin',
          password,
        }),
      })
      const answer = (await response.json().catch(() => ({}))) as { access_token?: string }
      return answer.access_token
    }
    expect(await token('wrong')).toBeUndefined()
    const authorization = `Bearer ${await token(site.password)}`
    expect((await ask('/editor/flows', { authorization })).status, 'a token does not open the gate').toBe(401)
    const flows = await ask('/editor/flows', { cookie, authorization })
    expect(flows.status).toBe(200)
    expect(flows.body).toContain('tributary site')
    const install = await fetch(`${site.url}/editor/nodes`, {
      method: 'POST',
      headers: { cookie, authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ module: 'node-red-node-random' }),
    })
    expect(install.status, 'there is no way to install').toBe(404)
    const settings = JSON.parse((await ask('/editor/settings', { cookie, authorization })).body) as Record<
      string,
      never
    >
    expect(settings['telemetryEnabled']).not.toBe(true)
    expect(settings['externalModules']).toMatchObject({ palette: { allowInstall: false, allowUpload: false } })
  })

  test('a password that is wrong takes a second and is told apart from nothing else; a flood of them is turned away', async () => {
    const startedMs = systemClock.monotonicMs()
    expect(await logIn(site.url, 'wrong')).toBeUndefined()
    expect(await logIn(site.url, '')).toBeUndefined()
    expect(systemClock.monotonicMs() - startedMs).toBeGreaterThan(2_000)
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const body = new URLSearchParams({ user: 'admin', password: 'wrong' })
        const response = await fetch(`${site.url}/login`, { method: 'POST', body, redirect: 'manual' })
        await response.arrayBuffer()
        return response.status
      }),
    )
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(11)
    expect(statuses.every((status) => status === 401 || status === 429)).toBe(true)
    const body = new URLSearchParams({ user: 'admin', password: 'x'.repeat(10_000) })
    expect((await fetch(`${site.url}/login`, { method: 'POST', body, redirect: 'manual' })).status).toBe(413)
  }, 60_000)
})

test('what is kept is a hash, for nobody else to read; the password was printed once', async () => {
  const folder = join(site.folder, 'spool-site-view')
  const login = await readFile(join(folder, 'login.json'), 'utf8')
  expect((await stat(join(folder, 'login.json'))).mode & 0o777).toBe(0o600)
  expect((await stat(folder)).mode & 0o077).toBe(0)
  expect(login).toMatch(/"passwordHash": "\$2[aby]\$10\$/)
  for (const file of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (file.isFile())
      expect(await readFile(join(file.parentPath, file.name), 'utf8'), file.name).not.toContain(site.password)
  await site.process.kill('SIGKILL')
  await site.process.start()
  await until('it is there again', async () => (await ask('/dashboard/site', { cookie })).status === 200)
  const log = await readFile(site.process.logFile, 'utf8')
  expect(log.split('log in as admin').length, 'times that it was printed').toBe(2)
  expect(await logIn(site.url, site.password)).toBeDefined()
}, 60_000)
