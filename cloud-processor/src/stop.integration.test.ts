/** Ctrl-C while the servers are away: a processor ends all the same, in time and with 0. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { encodeBatch, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CONTRACTS, createProcessorProcess } from './processor-harness.ts'
import { batchOf, blockOf } from './testing.ts'

/** It has 8 s to drain, and lets nothing wait for longer. */
const STOP_MS_MAX = 15_000

let folder: string
let nats: ManagedProcess & { url: string }
let influx: Server
let processor: ManagedProcess

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-stop-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  await nats.start()
  // InfluxDB 1.x on the wire, as far as writing needs it.
  influx = createServer((request, response) => {
    request.resume()
    const isWrite = request.url?.startsWith('/write') || request.url?.startsWith('/ping')
    response.writeHead(isWrite ? 204 : 200, { 'x-influxdb-version': '1.6.7' }).end(isWrite ? '' : '{"results":[{}]}')
  })
  await new Promise<void>((resolve) => influx.listen(0, '127.0.0.1', resolve))
  const port = await freePort()
  await writeFile(
    join(folder, 'processor.yaml'),
    `processor: p
nats: { url: "${nats.url}" }
influx: { url: "http://127.0.0.1:${(influx.address() as AddressInfo).port}" }
contracts: ${CONTRACTS}
admin: { listen: "127.0.0.1:${port}" }
`,
  )
  processor = createProcessorProcess('processor', folder, port)
  await processor.start()
})
afterEach(async () => {
  await processor.stop()
  await nats.stop()
  influx.closeAllConnections()
  influx.close()
  await rm(folder, { recursive: true, force: true })
})

async function stopIt(): Promise<{ code: number | null; said: string }> {
  const startMs = systemClock.monotonicMs()
  const code = await processor.stop(STOP_MS_MAX + 5_000)
  expect(systemClock.monotonicMs() - startMs).toBeLessThan(STOP_MS_MAX)
  return { code, said: await readFile(processor.logFile, 'utf8') }
}

test('NATS is away: it ends', { timeout: 90_000 }, async () => {
  await nats.kill()
  await systemClock.sleep(500)
  expect((await stopIt()).code).toBe(0)
})

test('NATS is away, and something is not in a checkpoint: it ends', { timeout: 90_000 }, async () => {
  const connection = await connect({ servers: nats.url })
  const batch = batchOf({
    sequence: 1,
    completeThroughMs: 2_000,
    blocks: [blockOf('tank-1', 'tank', [{ timeMs: 1_767_225_600_000, values: { level_percent: 5 } }])],
  })
  for (let sequence = 1; sequence <= 20; sequence++)
    await jetstream(connection).publish(
      telemetrySubject('workshop', 'agent-a'),
      encodeBatch({ ...batch, header: { ...batch.header, sequence } }),
    )
  await connection.close()
  await nats.kill()
  expect((await stopIt()).code).toBe(0)
})
