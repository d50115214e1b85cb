import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, systemClock } from '@tributary/runtime'
import { createInfluxServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createInfluxQuery, type InfluxQuery } from './influx-query.ts'
import { createInfluxSink, type InfluxSink, PartialWriteError } from './influx-sink.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'

const VALUE = fieldKey('value')
const NOW_MS = systemClock.wallMs()
const signal = () => AbortSignal.timeout(20_000)
const log = createLogger('test', 'silent')

/** A line a value: numbers as floats, strings as strings, undefined as something that is no line. */
function linesOf(
  measurement: string,
  values: readonly (number | string | undefined)[],
  timeMs: number | ((i: number) => number) = NOW_MS,
): LineBuffer {
  const lines = new LineBuffer(1024)
  for (const [i, value] of values.entries()) {
    const prefix = linePrefix(measurement, { device: `device-${i}` })
    lines.begin(prefix)
    if (typeof value === 'number') lines.float(VALUE, value, 100)
    else if (value === undefined) lines.float(fieldKey('bad"field,x'), 1, 1)
    else lines.string(VALUE, value)
    lines.end(prefix, typeof timeMs === 'number' ? timeMs + i : timeMs(i), 1, 0)
    if (value === undefined) {
      // What our own code never writes: the equals sign becomes a space.
      const at = lines.line(i).indexOf('='.charCodeAt(0), lines.line(i).lastIndexOf('bad'))
      lines.line(i)[at] = 0x20
    }
  }
  return lines
}

describe('with a real influxd', () => {
  let folder: string
  let influx: ManagedProcess & { url: string }
  let query: InfluxQuery
  let sink: InfluxSink
  let database = 0
  const create = (changes: object = {}) =>
    createInfluxSink(
      {
        url: influx.url,
        database: `test_${database}`,
        linesPerRequest: 5_000,
        timeoutMs: 5_000,
        backoff: { firstMs: 20, maxMs: 100 },
        ...changes,
      },
      { clock: systemClock, log },
    )
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-influx-'))
    influx = await createInfluxServer(await findServer('influxd'), folder, {
      http: await freePort(),
      rpc: await freePort(),
    })
    await influx.start()
  })
  afterAll(async () => {
    await influx.stop()
    await rm(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    database += 1
    sink = create()
    query = createInfluxQuery({ url: influx.url, database: `test_${database}` })
    await sink.prepare(signal())
    return async () => {
      await sink.close()
      await query.close()
    }
  })
  const count = async (measurement: string) =>
    (await query(`SELECT count(value) FROM ${measurement}`))[0]?.values[0]?.[1] ?? 0

  async function writeRequests(): Promise<number> {
    const statistics = (await (await fetch(`${influx.url}/debug/vars`)).json()) as Record<
      string,
      { values?: { writeReq?: number } }
    >
    return Object.values(statistics).find(({ values }) => values?.writeReq !== undefined)?.values?.writeReq ?? 0
  }

  test('writes, more than one request, into both retention policies; writing again changes nothing', async () => {
    const lines = linesOf(
      'plain',
      Array.from({ length: 12_000 }, (_, i) => i / 4),
    )
    await sink.write(lines, 'raw', signal())
    await sink.write(lines, 'raw', signal())
    await sink.write(linesOf('plain_10s', [1, 2]), 'rollup', signal())
    expect(await count('plain')).toBe(12_000)
    expect(await count('rollup.plain_10s')).toBe(2)
    expect(sink.status()).toMatchObject({ ok: true, error: undefined })
    expect(sink.status().version).toMatch(/^1\./)
  })

  test('a field type conflict names its lines, and costs no other line', async () => {
    await sink.write(linesOf('conflict', [1]), 'raw', signal())
    const values: (number | string)[] = Array.from({ length: 200 }, (_, i) => i)
    for (const bad of [7, 8, 150]) values[bad] = 'text'
    const error = await sink.write(linesOf('conflict', values), 'raw', signal()).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(PartialWriteError)
    const { rejected } = error as PartialWriteError
    expect([...rejected.keys()].sort((a, b) => a - b)).toEqual([7, 8, 150])
    expect(rejected.get(8)?.reason).toBe('field_type_conflict')
    expect(rejected.get(8)?.detail).toContain('already exists as type float')
    expect(await count('conflict')).toBe(197)
  })

  test('a malformed line beside a conflict: both are found', async () => {
    await sink.write(linesOf('mixed', [1]), 'raw', signal())
    const values: (number | string | undefined)[] = Array.from({ length: 50 }, (_, i) => i)
    values[3] = 'text'
    values[40] = undefined
    const error = (await sink
      .write(linesOf('mixed', values), 'raw', signal())
      .catch((e: unknown) => e)) as PartialWriteError
    expect(error).toBeInstanceOf(PartialWriteError)
    expect([...error.rejected].map(([line, { reason }]) => [line, reason])).toEqual([
      [3, 'field_type_conflict'],
      [40, 'malformed_line'],
    ])
    expect(await count('mixed')).toBe(48)
  })

  test('every fifth line in conflict, malformed ones between them, two shards: named without asking about each', async () => {
    const before = NOW_MS - 30 * 86_400_000
    for (const timeMs of [NOW_MS, before]) await sink.write(linesOf('many', [1], timeMs - 10_000), 'raw', signal())
    const values = Array.from({ length: 4_000 }, (_, i) => (i % 5 === 0 ? 'text' : i % 999 === 1 ? undefined : i))
    const lines = linesOf('many', values, (i) => (i % 2 === 0 ? before : NOW_MS) + i)
    const requests = await writeRequests()
    const error = (await sink.write(lines, 'raw', signal()).catch((e: unknown) => e)) as PartialWriteError
    const expected = values.flatMap((value, i): [number, string][] =>
      typeof value === 'string' ? [[i, 'field_type_conflict']] : value === undefined ? [[i, 'malformed_line']] : [],
    )
    expect([...error.rejected].map(([line, { reason }]) => [line, reason])).toEqual(expected)
    expect(await count('many')).toBe(2 + 4_000 - expected.length)
    expect((await writeRequests()) - requests).toBeLessThan(10)
    expect(error.rejected.get(1)?.detail).toMatch(/^unable to parse 'many,device=device-1 .*': invalid field format$/)
  })

  test('older than the retention policy keeps: named, alone and together with good ones', async () => {
    await query(`CREATE RETENTION POLICY short ON test_${database} DURATION 1h REPLICATION 1 DEFAULT`)
    const old = NOW_MS - 86_400_000
    const all = (await sink
      .write(linesOf('old', [1, 2, 3], old), 'raw', signal())
      .catch((e: unknown) => e)) as PartialWriteError
    expect(all.rejected.size).toBe(3)
    expect(all.rejected.get(2)?.reason).toBe('out_of_retention')
    const lines = linesOf('old', [4], old)
    const prefix = linePrefix('old', { device: 'good' })
    lines.begin(prefix)
    lines.float(VALUE, 5, 1)
    lines.end(prefix, NOW_MS, 1, 0)
    const some = (await sink.write(lines, 'raw', signal()).catch((e: unknown) => e)) as PartialWriteError
    expect([...some.rejected.keys()]).toEqual([0])
    expect(await count('old')).toBe(1)
  })

  test('a database or retention policy that somebody dropped is made again', async () => {
    await query(`DROP DATABASE test_${database}`)
    await sink.write(linesOf('again', [1, 2]), 'raw', signal())
    await query(`DROP RETENTION POLICY rollup ON test_${database}`)
    await sink.write(linesOf('again_10s', [1]), 'rollup', signal())
    expect(await count('again')).toBe(2)
    expect(await count('rollup.again_10s')).toBe(1)
  })

  test('a database that is down is waited for', async () => {
    await influx.stop()
    const written = sink.write(linesOf('patient', [1, 2, 3]), 'raw', signal())
    while (sink.retries < 3) await systemClock.sleep(10)
    expect(sink.status().ok).toBe(false)
    expect(sink.status().error).toContain('cannot be reached')
    await influx.start()
    await written
    expect(await count('patient')).toBe(3)
    expect(sink.status().ok).toBe(true)
  })

  test('a wait ends when the signal says so', async () => {
    const nowhere = create({ url: 'http://127.0.0.1:9' })
    await expect(nowhere.write(linesOf('x', [1]), 'raw', AbortSignal.timeout(100))).rejects.toMatchObject({
      name: 'TimeoutError',
    })
    await nowhere.close()
  })
})

describe('with answers that this influxd does not give', () => {
  let server: Server
  let answers: { status: number; body?: string }[] = []
  let seen: { path: string; lines: number }[] = []
  beforeAll(async () => {
    server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        const path = request.url ?? ''
        if (path === '/ping') {
          response.writeHead(204, { 'x-influxdb-version': '1.8.10' }).end()
          return
        }
        if (path === '/query') {
          response.writeHead(200).end('{"results":[{"statement_id":0}]}')
          return
        }
        seen.push({ path, lines: body.split('\n').length - 1 })
        const { status, body: text = '' } = answers.shift() ?? { status: 204 }
        response.writeHead(status).end(text)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterAll(() => new Promise((resolve) => server.close(resolve)))
  beforeEach(() => {
    answers = []
    seen = []
  })
  const sinkFor = (changes: object = {}) =>
    createInfluxSink(
      {
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        database: 'd',
        linesPerRequest: 5_000,
        backoff: { firstMs: 5, maxMs: 10 },
        ...changes,
      },
      { clock: systemClock, log },
    )

  test('every line in conflict: one request says so, not two a line', async () => {
    const sink = sinkFor()
    const body = '{"error":"partial write: field type conflict: input field \\"v\\" is type integer dropped=400"}'
    answers = [{ status: 400, body }]
    const lines = linesOf('m', Array(400).fill(1))
    const error = (await sink.write(lines, 'raw', signal()).catch((e: unknown) => e)) as PartialWriteError
    expect(error.rejected.size).toBe(400)
    expect(error.rejected.get(399)?.reason).toBe('field_type_conflict')
    expect(seen).toHaveLength(1)
    await sink.close()
  })

  test('too large: halved', async () => {
    const sink = sinkFor()
    answers = [{ status: 413 }, { status: 413 }]
    await sink.write(linesOf('m', [1, 2, 3, 4]), 'raw', signal())
    expect(seen.map(({ lines }) => lines)).toEqual([4, 2, 1, 1, 2])
    await sink.close()
  })

  test.each([
    [401, '{"error":"authorization failed"}', /influx.username/],
    [403, '{"error":"forbidden"}', /right to write/],
    [400, '{"error":"something new"}', /influx.url/],
    [404, '{"error":"database not found: \\"d\\""}', /what was stored before is gone/],
    [503, 'overloaded', undefined],
    [429, '', undefined],
  ])('%i: nothing is lost, tried again, said with what to do', async (status, body, hint) => {
    const said: { level: string; hint?: string; msg: string }[] = []
    const loud = createLogger('test', 'info', { write: (line: string) => said.push(JSON.parse(line)) })
    const sink = createInfluxSink(
      {
        url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        database: 'd',
        linesPerRequest: 10,
        backoff: { firstMs: 5, maxMs: 10 },
      },
      { clock: systemClock, log: loud },
    )
    answers = [
      { status, body },
      { status, body },
    ]
    await sink.write(linesOf('m', [1, 2]), 'raw', signal())
    expect(seen.length).toBe(3)
    expect(sink.retries).toBe(2)
    const complaint = said.filter(({ level }) => level !== 'info')
    expect(complaint).toHaveLength(1)
    if (hint === undefined) expect(complaint[0]?.level).toBe('warn')
    else expect(complaint[0]?.hint).toMatch(hint)
    await sink.close()
  })
})
