import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { createQueryProxy, type InfluxAuth, PROXY_LIMITS } from './query-proxy.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
  server = undefined
})

type Handler = (request: IncomingMessage, response: ServerResponse) => void
/** The wire of an InfluxDB that answers as the test wants. */
async function fakeInflux(handler: Handler): Promise<string> {
  const created = createServer(handler)
  server = created
  await new Promise<void>((resolve) => created.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(created.address() as AddressInfo).port}`
}
const access = (url: string, auth: InfluxAuth = { kind: 'none' }) => ({
  url,
  database: 'tributary',
  version: 1 as const,
  auth,
})
const never = new AbortController().signal
const rows = (count: number) =>
  JSON.stringify({
    results: [{ series: [{ name: 'a', columns: ['time'], values: Array.from({ length: count }, (_, i) => [i]) }] }],
  })

describe('query proxy', () => {
  it('asks for the database in milliseconds and passes the answer on as it is', async () => {
    let asked: URL | undefined
    const url = await fakeInflux((request, response) => {
      asked = new URL(request.url as string, 'http://influx')
      response.end('{"results":[{"statement_id":0}]}')
    })
    const answer = await createQueryProxy(access(`${url}/`), systemClock)('SELECT a FROM b -- c', never)
    expect(answer).toEqual({ status: 200, body: '{"results":[{"statement_id":0}]}' })
    expect(asked?.pathname).toBe('/query')
    expect(Object.fromEntries(asked?.searchParams ?? [])).toEqual({
      db: 'tributary',
      epoch: 'ms',
      chunked: 'true',
      chunk_size: '10000',
      q: 'SELECT a FROM b',
    })
  })

  it('puts together what InfluxDB sends in pieces', async () => {
    const piece = (series: object[]) => `${JSON.stringify({ results: [{ statement_id: 0, series }] })}\n`
    const url = await fakeInflux((_, response) => {
      response.write(piece([{ name: 'a', tags: { d: '1' }, columns: ['time'], values: [[1], [2]], partial: true }]))
      response.write(piece([{ name: 'a', tags: { d: '1' }, columns: ['time'], values: [[3]] }]))
      response.end(piece([{ name: 'a', tags: { d: '2' }, columns: ['time'], values: [[4]] }]))
    })
    const { body } = await createQueryProxy(access(url), systemClock)('SELECT a FROM b', never)
    expect(JSON.parse(body)).toEqual({
      results: [
        {
          series: [
            { name: 'a', tags: { d: '1' }, columns: ['time'], values: [[1], [2], [3]] },
            { name: 'a', tags: { d: '2' }, columns: ['time'], values: [[4]] },
          ],
        },
      ],
    })
  })

  it('says what went wrong after the first piece', async () => {
    const url = await fakeInflux((_, response) => {
      response.write(`${rows(2)}\n`)
      response.end('{"results":[{"error":"out of memory"}]}\n')
    })
    const answer = await createQueryProxy(access(url), systemClock)('SELECT a FROM b', never)
    expect(answer).toMatchObject({ status: 400 })
    expect(answer.body).toContain('out of memory')
  })

  it.each<[InfluxAuth, string | undefined]>([
    [{ kind: 'none' }, undefined],
    [
      { kind: 'password', user: 'reader', password: 'sesame' },
      `Basic ${Buffer.from('reader:sesame').toString('base64')}`,
    ],
    [{ kind: 'token', token: 't0ken' }, 'Token t0ken'],
  ])('says who it is: %j', async (auth, expected) => {
    let header: string | undefined
    const url = await fakeInflux((request, response) => {
      header = request.headers.authorization
      response.end(rows(1))
    })
    await createQueryProxy(access(url, auth), systemClock)('SELECT a FROM b', never)
    expect(header).toBe(expected)
  })

  it('sends nothing to InfluxDB when it refuses', async () => {
    let requests = 0
    const url = await fakeInflux((_, response) => {
      requests++
      response.end(rows(1))
    })
    const answer = await createQueryProxy(access(url), systemClock)('DROP DATABASE tributary', never)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body).error).toMatch(/^refused: only SELECT and SHOW/)
    expect(requests).toBe(0)
  })

  it.each<[string, Handler, number, RegExp]>([
    [
      'an error of the statement',
      (_, r) => r.end('{"results":[{"error":"no such function"}]}'),
      400,
      /InfluxDB says: no such function/,
    ],
    [
      'an error of the request',
      (_, r) => r.writeHead(400).end('{"error":"error parsing query"}'),
      400,
      /error parsing query/,
    ],
    [
      'an error of 2.x',
      (_, r) => r.writeHead(404).end('{"code":"not found","message":"database not found"}'),
      400,
      /database not found/,
    ],
    [
      'refused credentials',
      (_, r) => r.writeHead(401).end('{"error":"authorization failed"}'),
      502,
      /refuses our credentials: authorization failed/,
    ],
    ['something that is no JSON', (_, r) => r.writeHead(500).end('<html>'), 502, /answered with 500 and no JSON/],
    ['too many rows', (_, r) => r.end(rows(11)), 413, /has 11 rows, over 10; choose a shorter time range/],
    ['too many bytes', (_, r) => r.end('x'.repeat(5_000)), 413, /larger than/],
    ['a connection that breaks', (request) => request.socket.destroy(), 502, /does not answer/],
  ])('puts %s into words', async (_, handler, status, message) => {
    const limits = { ...PROXY_LIMITS, answerRowsMax: 10, answerBytesMax: 4_096 }
    const answer = await createQueryProxy(
      access(await fakeInflux(handler)),
      systemClock,
      limits,
    )('SELECT a FROM b', never)
    expect(JSON.parse(answer.body).error).toMatch(message)
    expect(answer.status).toBe(status)
  })

  it('names the address when nothing listens there', async () => {
    const url = await fakeInflux(() => undefined)
    await new Promise((resolve) => server?.close(resolve))
    const answer = await createQueryProxy(access(url), systemClock)('SELECT a FROM b', never)
    expect(answer).toMatchObject({ status: 502 })
    expect(answer.body).toContain(`InfluxDB at ${url} does not answer (connect ECONNREFUSED`)
  })

  it('gives up in time, and takes the query back from InfluxDB', async () => {
    const clock = createSimulatedClock()
    let arrived: () => void = () => undefined
    const hasArrived = new Promise<void>((resolve) => {
      arrived = resolve
    })
    let closed: () => void = () => undefined
    const wasClosed = new Promise<void>((resolve) => {
      closed = resolve
    })
    const url = await fakeInflux((_, response) => {
      response.on('close', closed)
      arrived()
    })
    const answering = createQueryProxy(access(url), clock)('SELECT a FROM b', never)
    await hasArrived
    await clock.advance(PROXY_LIMITS.queryMsMax)
    expect(await answering).toMatchObject({ status: 504 })
    await wasClosed
  })

  it('takes the query back when nobody waits any more', async () => {
    const gone = new AbortController()
    let closed: () => void = () => undefined
    const wasClosed = new Promise<void>((resolve) => {
      closed = resolve
    })
    const url = await fakeInflux((_, response) => {
      response.on('close', closed)
      gone.abort()
    })
    await expect(createQueryProxy(access(url), systemClock)('SELECT a FROM b', gone.signal)).rejects.toThrow()
    await wasClosed
  })

  it('runs so many queries at once and no more, and counts them down', async () => {
    const waiting: ServerResponse[] = []
    let both: () => void = () => undefined
    const haveArrived = new Promise<void>((resolve) => {
      both = resolve
    })
    const url = await fakeInflux((_, response) => {
      if (waiting.push(response) === 2) both()
      if (waiting.length > 2) response.end(rows(1))
    })
    const proxy = createQueryProxy(access(url), systemClock, { ...PROXY_LIMITS, queriesMax: 2, waitingMax: 0 })
    const first = [proxy('SELECT a FROM b', never), proxy('SELECT a FROM b', never)]
    await haveArrived
    expect(await proxy('SELECT a FROM b', never)).toMatchObject({ status: 503 })
    for (const response of waiting) response.end(rows(1))
    expect((await Promise.all(first)).map((a) => a.status)).toEqual([200, 200])
    expect(await proxy('SELECT a FROM b', never)).toMatchObject({ status: 200 })
  })

  it('lets as many wait as it may, in turn, and forgets who left', async () => {
    const asked: string[] = []
    const answers: ServerResponse[] = []
    const url = await fakeInflux((request, response) => {
      asked.push(new URL(request.url as string, 'http://influx').searchParams.get('q') as string)
      answers.push(response)
    })
    const proxy = createQueryProxy(access(url), systemClock, { ...PROXY_LIMITS, queriesMax: 1, waitingMax: 2 })
    const gone = new AbortController()
    const running = proxy('SELECT a FROM b', never)
    const left = proxy('SELECT b FROM b', gone.signal)
    const waiting = proxy('SELECT c FROM b', never)
    expect(await proxy('SELECT d FROM b', never)).toMatchObject({ status: 503 })
    gone.abort()
    await expect(left).rejects.toThrow()
    await expect.poll(() => answers.length).toBe(1)
    answers[0]?.end(rows(1))
    expect(await running).toMatchObject({ status: 200 })
    await expect.poll(() => answers.length).toBe(2)
    answers[1]?.end(rows(1))
    expect(await waiting).toMatchObject({ status: 200 })
    expect(asked).toEqual(['SELECT a FROM b', 'SELECT c FROM b'])
  })

  it('counts the time of waiting too', async () => {
    const clock = createSimulatedClock()
    const url = await fakeInflux(() => undefined)
    const proxy = createQueryProxy(access(url), clock, { ...PROXY_LIMITS, queriesMax: 1, waitingMax: 1 })
    const both = [proxy('SELECT a FROM b', never), proxy('SELECT b FROM b', never)]
    await clock.advance(PROXY_LIMITS.queryMsMax)
    expect((await Promise.all(both)).map((answer) => answer.status)).toEqual([504, 504])
  })
})
