import { readFile, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createTapFrameReader, decodeBatch, decodeHeader, type TapFrame } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import type { MqttClient } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  connectAgent,
  drainStream,
  makeBatch,
  publishBatch,
  startGateway,
  startNats,
  temporaryFolder,
  until,
} from './testing.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let nats: Awaited<ReturnType<typeof startNats>>
let gateway: Awaited<ReturnType<typeof startGateway>>
let agent: MqttClient
let token: string
let url: string

beforeAll(async () => {
  folder = await temporaryFolder()
  nats = await startNats(folder.path)
  gateway = await startGateway({
    folder: folder.path,
    natsUrl: nats.url,
    sitePort: 0,
    sections: { spool: { budget: '256MiB' } },
  })
  agent = await connectAgent(gateway.mqttPort, 'agent-1')
  const file = join(folder.path, 'spool-site-view', 'token')
  token = (await readFile(file, 'utf8')).trim()
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  url = `http://127.0.0.1:${gateway.sitePort}`
})
afterAll(async () => {
  await agent?.endAsync()
  await gateway?.end()
  await nats?.stop()
  await folder?.remove()
})

const headers = () => ({ authorization: `Bearer ${token}` })
const post = (body: unknown) =>
  fetch(`${url}/samples`, {
    method: 'POST',
    headers: headers(),
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
const sample = (temperature: number) => ({
  device: 'hall',
  kind: 'climate',
  timeMs: systemClock.wallMs(),
  fields: { temperature_c: temperature },
})

/** Reads the tap until it is ended. */
async function readTap() {
  const ending = new AbortController()
  const response = await fetch(`${url}/batches`, { headers: headers(), signal: ending.signal })
  const frames: TapFrame[] = []
  const read = createTapFrameReader()
  const done = (async () => {
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) frames.push(...read(piece))
  })().catch(() => undefined)
  return {
    frames,
    end: async () => {
      ending.abort()
      await done
    },
  }
}

test('without the token nothing is told and nothing is taken', async () => {
  for (const authorization of [undefined, '', 'Bearer ', 'Bearer wrong', `Basic ${token}`])
    for (const [method, path] of [
      ['GET', '/batches'],
      ['GET', '/status'],
      ['POST', '/samples'],
    ] as const) {
      const response = await fetch(url + path, { method, headers: authorization ? { authorization } : {} })
      expect(response.status, `${method} ${path} ${authorization}`).toBe(401)
      expect(await response.text()).not.toContain(token)
    }
})

test('the tap gives what comes in live, byte by byte, and neither a backlog nor a repeat', async () => {
  const tap = await readTap()
  await until('the tap is read', () => tap.frames.length > 0)
  const live = makeBatch('agent-1', 1)
  await publishBatch(agent, 'agent-1', live)
  await publishBatch(agent, 'agent-1', makeBatch('agent-1', 2, { lane: 'backlog' }))
  await publishBatch(agent, 'agent-1', live)
  await publishBatch(agent, 'agent-1', makeBatch('agent-1', 3))
  const batches = () => tap.frames.flatMap(({ batch }) => (batch ? [batch] : []))
  await until('both live batches came', () => batches().length >= 2)
  expect(batches().map((batch) => decodeHeader(batch).sequence)).toEqual([1, 3])
  expect(Buffer.compare(batches()[0] as Uint8Array, live)).toBe(0)
  await tap.end()
})

test('a reader that reads nothing loses batches itself, and nobody else does', async () => {
  const socket = connect(gateway.sitePort as number, '127.0.0.1')
  socket.pause()
  socket.write(`GET /batches HTTP/1.1\r\nhost: tap\r\nauthorization: Bearer ${token}\r\n\r\n`)
  const tap = await readTap()
  await until('two readers', async () => /tap_readers\{[^}]*\} 2/.test(await gateway.metrics.registry.metrics()))
  for (let first = 1; first <= 160; first += 20)
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        publishBatch(
          agent,
          'agent-1',
          makeBatch('agent-1', 1_000 + first + i, {}, 20_000, (k) => Math.sin(k * 12.9898 + i)),
        ),
      ),
    )
  const dropped = Number(/tap_dropped_total\{[^}]*\} (\d+)/.exec(await gateway.metrics.registry.metrics())?.[1])
  expect(dropped).toBeGreaterThan(0)
  expect(tap.frames.at(-1)?.dropped ?? 0, 'the one that reads').toBeLessThan(dropped)
  socket.destroy()
  await tap.end()
  await until('nobody reads', async () => /tap_readers\{[^}]*\} 0/.test(await gateway.metrics.registry.metrics()))
}, 60_000)

test('derived samples go through admission: on disk when they are confirmed, an agent of its own in the status', async () => {
  expect((await post({ samples: [sample(20), sample(21)] })).status).toBe(204)
  expect((await post({ samples: [sample(22)] })).status).toBe(204)
  const status = (await (await fetch(`${url}/status`, { headers: headers() })).json()) as ReturnType<
    typeof gateway.status
  >
  expect(status.agents.find((one) => one.agent === 'gw-1-site')).toMatchObject({
    batches: 2,
    readings: 3,
    connected: true,
  })
  await until('they were forwarded', () => gateway.status().backlog.batches === 0)
  const batches = (await drainStream(nats.url)).map(({ data }) => decodeBatch(data))
  const own = batches.filter(({ header }) => header.agent === 'gw-1-site')
  expect(own.map(({ header }) => [header.sequence, header.readingsTotal])).toEqual([
    [1, 2],
    [2, 3],
  ])
})

test('what does not fit is refused with the reason, and a flood with 429', async () => {
  const refused = async (body: unknown) => {
    const response = await post(body)
    return [response.status, ((await response.json()) as { error: string }).error]
  }
  expect(await refused('{')).toEqual([400, expect.stringContaining('not JSON')])
  expect(await refused({ samples: [{ ...sample(1), device: 'No Name' }] })).toEqual([
    400,
    expect.stringContaining('samples.0.device: lower-case'),
  ])
  expect(await refused('x'.repeat(2 * 2 ** 20))).toEqual([413, expect.any(String)])
  const flood: number[] = []
  for (let i = 0; i < 40; i++)
    flood.push((await post({ samples: Array.from({ length: 500 }, () => sample(i)) })).status)
  expect(flood.slice(0, 8).every((status) => status === 204)).toBe(true)
  expect(flood.slice(-5)).toContain(429)
  expect(flood.every((status) => status === 204 || status === 429)).toBe(true)
})
