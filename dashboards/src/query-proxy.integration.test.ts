/** What a hostile page could ask, against a real influxd: it changes nothing, and takes neither the database nor its memory. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { createInfluxServer, findServer, freePort } from '@tributary/stack'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createQueryProxy, PROXY_LIMITS, type QueryProxy } from './query-proxy.ts'

const never = new AbortController().signal
const MEBIBYTE = 2 ** 20
let folder: string
let influx: Awaited<ReturnType<typeof createInfluxServer>>
let proxy: QueryProxy

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-hostile-'))
  influx = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await influx.start()
  await fetch(`${influx.url}/query`, { method: 'POST', body: new URLSearchParams({ q: 'CREATE DATABASE tributary' }) })
  await fetch(`${influx.url}/query`, { method: 'POST', body: new URLSearchParams({ q: 'CREATE DATABASE other' }) })
  const lines = Array.from({ length: 50 }, (_, i) => `climate,device=a v=${i} ${1_700_000_000_000 + i * 1_000}`)
  for (const database of ['tributary', 'other'])
    await fetch(`${influx.url}/write?db=${database}&precision=ms`, { method: 'POST', body: lines.join('\n') })
  const access = { url: influx.url, database: 'tributary', version: 1, auth: { kind: 'none' } } as const
  proxy = createQueryProxy(access, systemClock, { ...PROXY_LIMITS, queryMsMax: 5_000 })
})
afterAll(async () => {
  await influx?.stop()
  if (folder) await rm(folder, { recursive: true, force: true })
})

/** Everything that there is: databases, policies, users, measurements, and how many points. */
async function everything(): Promise<string> {
  const ask = async (q: string, db = 'tributary') =>
    (await fetch(`${influx.url}/query?${new URLSearchParams({ q, db })}`)).text()
  const questions = ['SHOW DATABASES', 'SHOW RETENTION POLICIES ON tributary', 'SHOW USERS', 'SHOW CONTINUOUS QUERIES']
  const counts = ['tributary', 'other'].map(async (db) => [
    await ask('SHOW MEASUREMENTS', db),
    await ask('SELECT count(v) FROM /.*/', db),
  ])
  return JSON.stringify([await Promise.all(questions.map((q) => ask(q))), await Promise.all(counts)])
}

describe('hostile queries', () => {
  it('change nothing, and see no other database', async () => {
    const before = await everything()
    const attempts = [
      'DROP DATABASE tributary',
      'DROP SERIES FROM climate',
      'DELETE FROM climate',
      'CREATE DATABASE x',
      "CREATE USER x WITH PASSWORD 'y' WITH ALL PRIVILEGES",
      'ALTER RETENTION POLICY autogen ON tributary DURATION 1h',
      'CREATE CONTINUOUS QUERY q ON tributary BEGIN SELECT mean(v) INTO x FROM climate GROUP BY time(1m) END',
      'KILL QUERY 1',
      'SELECT v INTO copy FROM climate',
      'SELECT v INTO other.autogen.copy FROM climate',
      'SELECT v FROM climate; DROP MEASUREMENT climate',
      'SELECT v FROM climate;DELETE FROM climate',
      'SELECT v FROM climate -- \u0000\n; DROP MEASUREMENT climate',
      "SELECT v FROM climate WHERE device = 'a\r'; DROP MEASUREMENT climate --'",
      "SELECT v FROM climate WHERE device = 'a\\\\'; DROP MEASUREMENT climate --'",
      'SELECT "v\\\\" FROM climate; DROP MEASUREMENT climate --"',
      "SELECT v / 2 FROM climate WHERE device = '/; DROP MEASUREMENT climate --'; DELETE FROM climate",
      'SELECT v FROM /climate/; DROP MEASUREMENT climate',
      'SELECT v FROM (SELECT v INTO copy FROM climate)',
      '\uFEFFSELECT v FROM climate; DROP MEASUREMENT climate',
      'SELECT v FROM other.autogen.climate',
      'SELECT v FROM "other".."climate"',
      'SELECT v FROM climate, other..climate',
      'SHOW TAG VALUES ON other WITH KEY = device',
      'SHOW DATABASES',
      'SHOW USERS',
      'EXPLAIN ANALYZE SELECT v FROM climate',
    ]
    for (const attempt of attempts) expect((await proxy(attempt, never)).status, JSON.stringify(attempt)).toBe(400)
    // Two backslashes before a slash do not end the pattern, for InfluxDB as for us: what follows is part of it.
    expect(
      await proxy('SELECT v FROM climate WHERE device =~ /a\\\\/; DROP MEASUREMENT climate --/', never),
    ).toMatchObject({ status: 200 })
    expect(await everything()).toBe(before)
  })

  it.each([
    ['more intervals than there is memory', 'SELECT mean(v) FROM climate WHERE time >= 0 GROUP BY time(1u) fill(0)'],
    ['intervals that are all empty', 'SELECT mean(v) FROM climate WHERE time >= 0 GROUP BY time(1u) fill(none)'],
    [
      'a query in a query in a query',
      `SELECT mean(v) FROM ${'(SELECT v FROM '.repeat(300)}climate${')'.repeat(300)} WHERE time >= 0 GROUP BY time(1u) fill(0)`,
    ],
  ])('%s: stopped in time, with little memory, and others are answered', async (_, query) => {
    const rssBefore = (await influx.rssBytes()) ?? 0
    const startedMs = systemClock.monotonicMs()
    const answering = proxy(query, never)
    expect((await proxy('SELECT count(v) FROM climate', never)).status).toBe(200)
    const answer = await answering
    expect([200, 400, 413, 504], answer.body.slice(0, 300)).toContain(answer.status)
    expect(systemClock.monotonicMs() - startedMs).toBeLessThan(8_000)
    const grown = ((await influx.rssBytes()) ?? 0) - rssBefore
    expect(grown / MEBIBYTE).toBeLessThan(60)
    // It does not go on when nobody listens any more.
    const cpuBefore = (await influx.cpuSeconds()) ?? 0
    await systemClock.sleep(1_000)
    expect(((await influx.cpuSeconds()) ?? 0) - cpuBefore).toBeLessThan(0.5)
  })

  it('a flood of them: some run, some wait, the rest is refused, and afterwards all is as before', async () => {
    const flood = PROXY_LIMITS.queriesMax + PROXY_LIMITS.waitingMax + 50
    const answers = await Promise.all(Array.from({ length: flood }, () => proxy('SELECT count(v) FROM climate', never)))
    const count = (status: number) => answers.filter((answer) => answer.status === status).length
    expect(count(503)).toBe(50)
    expect(count(200)).toBe(flood - 50)
    expect((await proxy('SELECT count(v) FROM climate', never)).status).toBe(200)
  })
})
