/** Which InfluxDB answers: on the wire, with what 1.6.7, 1.8, 2.7.12 and proxies say. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLogger, systemClock, UserError } from '@tributary/runtime'
import { afterEach, expect, test } from 'vitest'
import { createInfluxConnection, type InfluxOptions } from './influx-connection.ts'
import { createInfluxSink } from './influx-sink.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'

type Answers = Record<string, { status: number; version?: string; body?: string }>

let server: Server
let answers: Answers
let seen: string[]
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

async function serve(first: Answers): Promise<string> {
  answers = first
  seen = []
  server = createServer((request, response) => {
    const path = (request.url ?? '').replace(/\?.*/, '')
    seen.push(path)
    const { status, version, body = '' } = answers[path] ?? { status: 404, body: '404 page not found\n' }
    request
      .resume()
      .on('end', () => response.writeHead(status, version ? { 'x-influxdb-version': version } : {}).end(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function probe(first: Answers, options: Partial<InfluxOptions> = {}) {
  const connection = createInfluxConnection({ url: await serve(first), database: 'd', ...options })
  return connection
    .probe(AbortSignal.timeout(5_000))
    .catch((error: unknown) => error as UserError)
    .finally(() => connection.close())
}
const account = { token: 't', org: 'o' }
const HEALTH = '{"name":"influxdb", "message":"ready for queries and writes", "status":"pass", "version": "v2.7.12"}'

test.each([
  ['1.6.7', { '/ping': { status: 204, version: '1.6.7~rc0' } }, {}, { major: 1, version: '1.6.7~rc0' }],
  ['2.7.12', { '/ping': { status: 204, version: 'v2.7.12' } }, account, { major: 2, version: '2.7.12' }],
  ['3.4.1', { '/ping': { status: 200, version: '3.4.1' } }, {}, { major: 3, version: '3.4.1' }],
  [
    'a proxy that takes headers away',
    { '/ping': { status: 204 }, '/health': { status: 200, body: HEALTH } },
    account,
    { major: 2, version: '2.7.12' },
  ],
  [
    'what the config says, against what it looks like',
    { '/ping': { status: 404 } },
    { version: '1' },
    { major: 1, version: '1.x' },
  ],
] as const)('%s', async (_, first, options, expected) => {
  expect(await probe(first, options)).toEqual(expected)
})

test.each([
  [
    '2.x without token and org',
    { '/ping': { status: 204, version: 'v2.7.12' } },
    { username: 'u', password: 'p' },
    /2.7.12 .* cannot be used without influx.token and influx.org/,
    /^set influx.token/,
  ],
  [
    'an empty token',
    { '/ping': { status: 204, version: 'v2.7.12' } },
    { token: '', org: 'o' },
    /without influx.token$/,
    /^set influx.token/,
  ],
  ['3 that wants a token', { '/ping': { status: 401 } }, {}, /answered 401 to .ping/, /influx.token/],
  [
    'another server',
    { '/ping': { status: 200, body: 'pong' } },
    {},
    /does not say which InfluxDB it is: .ping gave 200 and no version/,
    /correct influx.url/,
  ],
  [
    'a version that we do not know',
    { '/ping': { status: 204, version: '4.0.0' } },
    {},
    /version 4.0.0/,
    /influx.version/,
  ],
] as const)('%s: what to do', async (_, first, options, message, hint) => {
  const error = await probe(first, options)
  expect(error).toBeInstanceOf(UserError)
  expect((error as UserError).message).toMatch(message)
  expect((error as UserError).hint).toMatch(hint)
})

test('a proxy whose InfluxDB is away is no reason to change the config', async () => {
  const error = await probe({ '/ping': { status: 503, body: 'bad gateway' } })
  expect(error).toBeInstanceOf(Error)
  expect(error).not.toBeInstanceOf(UserError)
})

test('it was away, and came back as another version: writes go where that takes them', async () => {
  const done = { status: 200, body: '{"results":[{"statement_id":0}]}' }
  const url = await serve({ '/ping': { status: 204, version: '1.8.10' }, '/query': done, '/write': { status: 204 } })
  const options = { url, database: 'd', ...account, linesPerRequest: 100, backoff: { firstMs: 5, maxMs: 10 } }
  const sink = createInfluxSink(options, { clock: systemClock, log: createLogger('test', 'silent') })
  const lines = new LineBuffer()
  const prefix = linePrefix('m', { device: 'd' })
  lines.begin(prefix)
  lines.float(fieldKey('value'), 1, 1)
  lines.end(prefix, 1_700_000_000_000, 1, 0)
  await sink.write(lines, 'raw', AbortSignal.timeout(5_000))
  expect(seen.at(-1)).toBe('/write')
  const { port } = server.address() as AddressInfo
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  const written = sink.write(lines, 'raw', AbortSignal.timeout(5_000))
  while (sink.retries < 2) await systemClock.sleep(5)
  answers = {
    '/ping': { status: 204, version: 'v2.7.12' },
    '/api/v2/dbrps': { status: 200, body: '{"content":[]}' },
    '/api/v2/buckets': { status: 200, body: '{"buckets":[{"id":"1"}],"id":"1"}' },
    '/api/v2/write': { status: 204 },
  }
  server.listen(port, '127.0.0.1')
  await written
  expect(seen.at(-1)).toBe('/api/v2/write')
  expect(sink.status()).toMatchObject({ ok: true, version: '2.7.12' })
  await sink.close()
})
