/** InfluxDB 3 Core on the wire, as its documentation and source have it: no server of it was to be had. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { createLogger, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { processorConfigSchema } from './config.ts'
import { createInfluxQuery } from './influx-query.ts'
import { createInfluxSink, PartialWriteError } from './influx-sink.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'
import { provisionInflux } from './provision-influx.ts'

const REQUEST_BYTES_MAX = 4_000
const signal = () => AbortSignal.timeout(10_000)

let server: Server
let url: string
let databases: string[]
/** What is stored of each write's lines. */
let stored: string[]
let writes: string[]
let queries: string[]
beforeEach(async () => {
  databases = []
  stored = []
  writes = []
  queries = []
  server = createServer(async (request, response) => {
    const [status, body] = decide(request, await text(request))
    response.writeHead(status, { 'x-influxdb-build': 'Core', 'x-influxdb-version': '3.4.1' }).end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

function decide({ method, url: path = '', headers }: IncomingMessage, body: string): [number, string?] {
  const { pathname } = new URL(path, 'http://localhost')
  if (headers.authorization !== 'Token admin') return [401, '{"error": "the request was not authenticated"}']
  if (pathname === '/ping') return [200, '{"version":"3.4.1","revision":"abc","process_id":"1"}']
  if (pathname === '/api/v3/configure/database' && method === 'GET')
    return [200, JSON.stringify(databases.map((name) => ({ 'iox::database': name })))]
  if (pathname === '/api/v3/configure/database') {
    databases.push((JSON.parse(body) as { db: string }).db)
    return [200]
  }
  if (pathname === '/query') {
    queries.push(new URLSearchParams(body).get('q') ?? '')
    const series = [{ name: `s${queries.length}`, columns: ['time'], values: [[queries.length]] }]
    return [200, JSON.stringify({ results: [{ statement_id: 0, series }] })]
  }
  if (pathname !== '/api/v3/write_lp') return [404, 'not found']
  writes.push(path)
  if (body.length > REQUEST_BYTES_MAX) return [500, `max request size (${REQUEST_BYTES_MAX} bytes) exceeded`]
  const lines = body.split('\n').slice(0, -1)
  const invalid = lines.flatMap((line, i) => {
    const error_message = complaintOf(line)
    return error_message === undefined ? [] : [{ original_line: line.slice(0, 50), line_number: i + 1, error_message }]
  })
  stored.push(...lines.filter((line) => complaintOf(line) === undefined))
  if (invalid.length === 0) return [204]
  return [400, JSON.stringify({ error: 'partial write of line protocol occurred', data: invalid })]
}

function complaintOf(line: string): string | undefined {
  if (line.includes('value="'))
    return "invalid column type for column 'value', expected iox::column_type::field::float, got iox::column_type::field::string"
  if (line.includes('part='))
    return "Detected a new tag 'part' in write. The tag set is immutable on first write to the table."
  return line.includes('value=') ? undefined : 'No fields were provided'
}

function linesOf(values: readonly (number | string | undefined)[], tags: Record<string, string> = {}): LineBuffer {
  const lines = new LineBuffer(1024)
  for (const [i, value] of values.entries()) {
    const prefix = linePrefix('m', { device: `device-${i}`, ...tags })
    lines.begin(prefix)
    if (typeof value === 'string') lines.string(fieldKey('value'), value)
    else lines.float(fieldKey(value === undefined ? 'other' : 'value'), value ?? 1, 100)
    lines.end(prefix, 1_700_000_000_000 + i, 1, 0)
  }
  return lines
}
const createSink = (changes: object = {}) =>
  createInfluxSink(
    { url, token: 'admin', database: 'river', linesPerRequest: 5_000, backoff: { firstMs: 5, maxMs: 10 }, ...changes },
    { clock: systemClock, log: createLogger('test', 'silent') },
  )
async function init(more: object = {}) {
  const influx = processorConfigSchema.shape.influx.parse({ url, token: 'admin', database: 'river', ...more })
  const outcomes: string[] = []
  await provisionInflux(influx, { dryRun: false, signal: signal() }, ({ what, name, outcome, detail }) =>
    outcomes.push(`${what} ${name}: ${outcome}${detail}`),
  )
  return outcomes
}

test('init makes one database; it has one retention', async () => {
  expect(await init()).toEqual(['database river: created'])
  expect(await init({ version: 3 })).toEqual(['database river: exists'])
  expect(await init({ rollup_retention: '90d' })).toEqual([expect.stringMatching(/differs.*one retention/)])
})

test('raw data and windows go into it; the lines that it names are refused, all others stored, in two requests', async () => {
  const sink = createSink()
  await sink.write(linesOf([1, 2]), 'raw', signal())
  await sink.write(linesOf([3]), 'rollup', signal())
  expect(sink.status()).toMatchObject({ ok: true, version: '3.4.1' })
  expect(new Set(writes)).toEqual(new Set(['/api/v3/write_lp?db=river&precision=millisecond&accept_partial=true']))
  writes = []
  stored = []
  const values: (number | string | undefined)[] = Array.from({ length: 60 }, (_, i) => i)
  values[5] = 'text'
  values[40] = undefined
  const error = (await sink.write(linesOf(values), 'raw', signal()).catch((e: unknown) => e)) as PartialWriteError
  expect(error).toBeInstanceOf(PartialWriteError)
  expect([...error.rejected].map(([line, { reason }]) => [line, reason])).toEqual([
    [5, 'field_type_conflict'],
    [40, 'malformed_line'],
  ])
  expect(error.rejected.get(5)?.detail).toMatch(/^invalid column type.* → the store has this field with another type/)
  expect(writes).toHaveLength(2)
  expect(new Set(stored).size).toBe(58)
  const tagged = (await sink
    .write(linesOf([1], { part: 'x' }), 'rollup', signal())
    .catch((e: unknown) => e)) as PartialWriteError
  expect(tagged.rejected.get(0)).toMatchObject({
    reason: 'refused',
    detail: expect.stringMatching(/tag set is immutable/),
  })
  await sink.close()
})

test('a request that is too large is halved', async () => {
  const sink = createSink()
  await sink.write(linesOf(Array(200).fill(1)), 'raw', signal())
  expect(new Set(stored).size).toBe(200)
  expect(writes.length).toBeGreaterThan(2)
  await sink.close()
})

test('without the right token: said', async () => {
  const sink = createSink({ token: undefined })
  const stop = new AbortController()
  const written = sink.write(linesOf([1]), 'raw', stop.signal).catch(() => 'stopped')
  while (sink.retries < 2) await systemClock.sleep(5)
  expect(sink.status().error).toMatch(/answered 401/)
  stop.abort()
  expect(await written).toBe('stopped')
  await sink.close()
  await expect(init({ token: 'other' })).rejects.toMatchObject({ hint: expect.stringMatching(/influx.token/) })
})

test('it answers one statement a request; several are asked one after another', async () => {
  const query = createInfluxQuery({ url, token: 'admin', database: 'river' })
  const series = await query(`SELECT a FROM "x;y" WHERE "t" = 'it\\'s;';SELECT b FROM z;`)
  expect(queries).toEqual([`SELECT a FROM "x;y" WHERE "t" = 'it\\'s;'`, 'SELECT b FROM z'])
  expect(series.map(({ name }) => name)).toEqual(['s1', 's2'])
  await query.close()
})
