/** What goes wrong with a whole InfluxDB, on a real one: nobody is let in, its disk is full, it dies in the middle. Nothing is lost, nothing twice. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, systemClock } from '@tributary/runtime'
import {
  createInfluxServer,
  findServer,
  freePort,
  type ManagedProcess,
  mountObstacle,
  mountSmallDisk,
  type SmallDisk,
} from '@tributary/stack'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createInfluxQuery } from './influx-query.ts'
import { createInfluxSink, PartialWriteError } from './influx-sink.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'

const NOW_MS = systemClock.wallMs()
const signal = () => AbortSignal.timeout(50_000)

let folder: string
let influx: (ManagedProcess & { url: string }) | undefined
let disk: SmallDisk | undefined
let obstacle: string | undefined
beforeAll(async () => {
  const tried = await mkdtemp(join(tmpdir(), 'tributary-mount-'))
  obstacle = await mountObstacle(tried)
  await rm(tried, { recursive: true, force: true })
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-influx-'))
})
afterEach(async () => {
  await influx?.stop()
  await disk?.unmount()
  influx = undefined
  disk = undefined
  await rm(folder, { recursive: true, force: true })
})

/** @param settings what influxd takes from its environment, without `INFLUXDB_` */
async function startInflux(settings: Record<string, string> = {}) {
  const found = await findServer('influxd')
  const environment = Object.fromEntries(Object.entries(settings).map(([key, value]) => [`INFLUXDB_${key}`, value]))
  influx = await createInfluxServer({ ...found, environment: { ...found.environment, ...environment } }, folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await influx.start()
  return influx
}

function createSink(url: string, changes: object = {}) {
  const said: { level: string; hint?: string; msg: string }[] = []
  const log = createLogger('test', 'info', { write: (line: string) => said.push(JSON.parse(line)) })
  const options = { url, database: 'd', linesPerRequest: 1_000, timeoutMs: 5_000, backoff: { firstMs: 20, maxMs: 100 } }
  const sink = createInfluxSink({ ...options, ...changes }, { clock: systemClock, log })
  return Object.assign(sink, { said, complaints: () => said.filter(({ level }) => level !== 'info') })
}

function linesOf(values: readonly (number | string)[], timeMs = NOW_MS): LineBuffer {
  const lines = new LineBuffer(1024)
  const prefix = linePrefix('m', { device: 'pump-1', site: 'works' })
  for (const [i, value] of values.entries()) {
    lines.begin(prefix)
    if (typeof value === 'number') lines.float(fieldKey('value'), value, 100)
    else lines.string(fieldKey('text'), value)
    lines.end(prefix, timeMs + i, 1, 0)
  }
  return lines
}
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)

async function stored(url: string, field = 'value', credentials: object = {}): Promise<unknown> {
  const query = createInfluxQuery({ url, database: 'd', ...credentials })
  const [series] = await query(`SELECT count("${field}"), sum("${field}") FROM m`).finally(() => query.close())
  return series?.values[0]?.slice(1)
}

test('a user who may write and nothing else: what is there is used; an unknown one is waited for, and said with what to do', async () => {
  const { url } = await startInflux({ HTTP_AUTH_ENABLED: 'true' })
  const admin = { username: 'admin', password: 'secret' }
  const run = async (statement: string, who: object = admin) => {
    const query = createInfluxQuery({ url, database: 'd', ...who })
    await query(statement).finally(() => query.close())
  }
  await run(`CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES`, {})
  await run('CREATE DATABASE d; CREATE RETENTION POLICY rollup ON d DURATION 90d REPLICATION 1')
  const sink = createSink(url, { username: 'writer', password: 'other' })
  const written = sink.write(linesOf(upTo(10)), 'raw', signal())
  while (sink.retries < 3) await systemClock.sleep(10)
  expect(sink.status()).toMatchObject({ ok: false, error: 'InfluxDB answered 401: authorization failed' })
  expect(sink.complaints()).toMatchObject([{ level: 'error', hint: expect.stringMatching(/influx.username/) }])
  await run(`CREATE USER writer WITH PASSWORD 'other'`)
  while (!sink.status().error?.includes('403')) await systemClock.sleep(10)
  expect(sink.complaints().at(-1)?.hint).toMatch(/right to write/)
  await run('GRANT WRITE ON d TO writer')
  await written
  expect(await stored(url, 'value', admin)).toEqual([10, 45])
  expect(sink.status().ok).toBe(true)
  await sink.close()

  const second = createSink(url, { username: 'writer', password: 'other' })
  await second.prepare(signal())
  await second.write(linesOf([1], NOW_MS + 1_000), 'rollup', signal())
  expect(second.complaints()).toEqual([])
  await second.close()
}, 60_000)

test('a body that is too large: halved; the one line that is too large alone is refused', async () => {
  const { url } = await startInflux({ HTTP_MAX_BODY_SIZE: '20000' })
  const sink = createSink(url)
  await sink.prepare(signal())
  await sink.write(linesOf(upTo(1_000)), 'raw', signal())
  expect(await stored(url)).toEqual([1_000, 499_500])
  const texts = upTo(40).map((i) => (i === 13 ? 'x'.repeat(30_000) : 'short'))
  const error = (await sink.write(linesOf(texts), 'raw', signal()).catch((e: unknown) => e)) as PartialWriteError
  expect(error).toBeInstanceOf(PartialWriteError)
  expect([...error.rejected]).toEqual([[13, { reason: 'refused', detail: 'the line is too large' }]])
  await sink.close()
}, 60_000)

test('killed in the middle of writes, again and again: every line is there once', async () => {
  const server = await startInflux()
  const sink = createSink(server.url)
  await sink.prepare(signal())
  const all = upTo(60_000)
  let isOver = false
  const written = (async () => {
    for (let from = 0; from < all.length; from += 5_000)
      await sink.write(linesOf(all.slice(from, from + 5_000), NOW_MS + from), 'raw', signal())
    isOver = true
  })()
  let kills = 0
  for (; !isOver && kills < 5; kills++) {
    const before = sink.linesWritten
    while (!isOver && sink.linesWritten < before + 2_000) await systemClock.sleep(1)
    await server.kill()
    await server.start()
  }
  await written
  expect(kills).toBeGreaterThanOrEqual(3)
  expect(sink.retries).toBeGreaterThan(0)
  expect(await stored(server.url)).toEqual([60_000, (59_999 * 60_000) / 2])
  await sink.close()
}, 120_000)

test('a full disk is waited for, and said; influxd 1.x needs a restart after it', async ({ skip }) => {
  if (obstacle !== undefined) return skip(`no small disk: ${obstacle}`)
  await mkdir(join(folder, 'influx'))
  disk = await mountSmallDisk(join(folder, 'influx'), 16)
  const server = await startInflux()
  const sink = createSink(server.url)
  await sink.prepare(signal())
  await sink.write(linesOf([1]), 'raw', signal())
  await disk.fill()
  const written = sink.write(linesOf(upTo(5_000), NOW_MS + 1_000), 'raw', signal())
  while (sink.retries < 5) await systemClock.sleep(10)
  expect(sink.status().error).toMatch(/answered 500.*no space left on device/)
  expect(sink.complaints().at(-1)?.hint).toMatch(/make room .* restart/)
  await disk.clear()
  const { retries } = sink
  while (sink.retries < retries + 3) await systemClock.sleep(10)
  await server.stop()
  await server.start()
  await written
  expect(await stored(server.url)).toEqual([5_001, 12_497_501])
  await sink.close()
}, 60_000)
