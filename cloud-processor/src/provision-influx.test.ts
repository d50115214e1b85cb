/** InfluxDB 2.x as its API is documented, on the wire; 1.x is tested with the real server in e2e/init.test.ts. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { UserError } from '@tributary/runtime'
import { afterEach, expect, test } from 'vitest'
import { processorConfigSchema } from './config.ts'
import type { Provision } from './provision.ts'
import { provisionInflux } from './provision-influx.ts'

interface Bucket {
  id: string
  orgID: string
  name: string
  retentionRules: { type: string; everySeconds: number }[]
}
interface Mapping {
  orgID: string
  bucketID: string
  database: string
  retention_policy: string
  default: boolean
}

let server: Server
afterEach(() => void server.close())

async function startInflux2(token = 'all-access') {
  const store = { buckets: [] as Bucket[], mappings: [] as Mapping[], posts: 0 }
  server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost')
    const answer = (status: number, body: unknown) => {
      response.writeHead(status, { 'x-influxdb-version': 'v2.7.6' }).end(body === '' ? '' : JSON.stringify(body))
    }
    if (pathname === '/ping') return answer(204, '')
    if (request.headers.authorization !== `Token ${token}`)
      return answer(401, { code: 'unauthorized', message: 'unauthorized access' })
    if (pathname === '/api/v2/orgs')
      return searchParams.get('org') === 'works'
        ? answer(200, { orgs: [{ id: '0a', name: 'works' }] })
        : answer(200, { orgs: [] })
    let text = ''
    for await (const chunk of request) text += chunk
    if (request.method === 'POST') store.posts += 1
    if (pathname === '/api/v2/buckets' && request.method === 'GET')
      return answer(200, { buckets: store.buckets.filter(({ name }) => name === searchParams.get('name')) })
    if (pathname === '/api/v2/buckets') {
      const bucket = { ...(JSON.parse(text) as Bucket), id: `b${store.buckets.length}` }
      store.buckets.push(bucket)
      return answer(201, bucket)
    }
    if (pathname === '/api/v2/dbrps' && request.method === 'GET')
      return answer(200, { content: store.mappings.filter(({ database }) => database === searchParams.get('db')) })
    if (pathname === '/api/v2/dbrps') {
      store.mappings.push(JSON.parse(text) as Mapping)
      return answer(201, JSON.parse(text))
    }
    answer(404, { code: 'not found', message: `no ${pathname}` })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { store, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const influxAt = (url: string, more: object = {}) =>
  processorConfigSchema.shape.influx.parse({ url, org: 'works', token: 'all-access', rollup_retention: '90d', ...more })

async function run(url: string, { dryRun = false, ...more }: { dryRun?: boolean; [key: string]: unknown } = {}) {
  const done: Provision[] = []
  const signal = AbortSignal.timeout(10_000)
  await provisionInflux(influxAt(url, more), { dryRun, signal }, (one) => void done.push(one))
  return done
}
const outcomesOf = (done: readonly Provision[]) => done.map(({ what, name, outcome }) => `${what} ${name}: ${outcome}`)

test('2.x: buckets and their InfluxQL names are made once', async () => {
  const { store, url } = await startInflux2()
  expect(outcomesOf(await run(url, { dryRun: true }))).toEqual([
    'bucket tributary/autogen: would create',
    'InfluxQL name tributary.autogen: would create',
    'bucket tributary/rollup: would create',
    'InfluxQL name tributary.rollup: would create',
  ])
  expect(store.posts).toBe(0)
  expect((await run(url)).map(({ outcome }) => outcome)).toEqual(['created', 'created', 'created', 'created'])
  expect(store.buckets).toEqual([
    { id: 'b0', orgID: '0a', name: 'tributary/autogen', retentionRules: [] },
    { id: 'b1', orgID: '0a', name: 'tributary/rollup', retentionRules: [{ type: 'expire', everySeconds: 7_776_000 }] },
  ])
  expect(store.mappings).toEqual([
    { orgID: '0a', bucketID: 'b0', database: 'tributary', retention_policy: 'autogen', default: true },
    { orgID: '0a', bucketID: 'b1', database: 'tributary', retention_policy: 'rollup', default: false },
  ])
  expect((await run(url)).map(({ outcome }) => outcome)).toEqual(['exists', 'exists', 'exists', 'exists'])
  expect(store.posts).toBe(4)
})

test('2.x: another retention and a name that means another bucket are said and left alone', async () => {
  const { store, url } = await startInflux2()
  await run(url)
  ;(store.mappings[1] as Mapping).bucketID = 'elsewhere'
  const done = await run(url, { rollup_retention: undefined })
  expect(done.map(({ outcome }) => outcome)).toEqual(['exists', 'exists', 'differs', 'differs'])
  expect(done[2]?.detail).toContain('it keeps 7776000 s, the config says for ever')
  expect(done[3]?.detail).toContain('it means bucket elsewhere, not b1')
  expect(store.posts).toBe(4)
})

test.each([
  ['a token that may not', { token: 'read-only' }, /answered 401/, /token \(2.x\) that may create/],
  ['an organisation that is not there', { org: 'nobody' }, /no organisation "nobody"/, /correct influx.org/],
])('2.x: %s: says so', async (_, more, message, hint) => {
  const { url } = await startInflux2()
  const failure = await run(url, more).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(UserError)
  expect((failure as UserError).message).toMatch(message)
  expect((failure as UserError).hint).toMatch(hint)
})

test('nothing answers: says where', async () => {
  const { url } = await startInflux2()
  server.close()
  server.closeAllConnections()
  await expect(run(url)).rejects.toThrow(`InfluxDB at ${url} cannot be reached`)
})
