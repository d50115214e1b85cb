/** Streams and bucket as somebody else has made them, and credentials beside the config: against a real nats-server. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { CHECKPOINT_STREAM, DEAD_LETTER_STREAM, TELEMETRY_STREAM } from '@tributary/protocol'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { CHECKPOINT_STREAM_CONFIG } from './checkpoint-bucket.ts'
import { type ProcessorConfig, processorConfigSchema } from './config.ts'
import { connectionOptions, STREAMS } from './nats.ts'
import type { Provision } from './provision.ts'
import { provisionNats } from './provision-nats.ts'

const DAY_NS = 86_400 * 1e9

let folder: string
let nats: ManagedProcess & { url: string }
let connection: NatsConnection
let manager: JetStreamManager
const configWith = (more: object = {}): ProcessorConfig =>
  processorConfigSchema.parse({
    processor: 'p',
    nats: { url: nats.url, ...more },
    influx: { url: 'http://127.0.0.1:1' },
    contracts: 'contracts',
  })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-provision-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  await nats.start()
  connection = await connect({ servers: nats.url })
  manager = await jetstreamManager(connection)
})
afterAll(async () => {
  await connection?.close()
  await nats?.stop()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  for await (const name of manager.streams.names()) await manager.streams.delete(name)
})

async function provisioned(signal = AbortSignal.timeout(20_000)): Promise<Provision[]> {
  const done: Provision[] = []
  await provisionNats(join(folder, 'processor.yaml'), configWith(), { dryRun: false, signal }, (one) => done.push(one))
  return done
}
const said = (done: readonly Provision[]) =>
  done.map(({ name, outcome, detail }) => [name, outcome, detail.split(':')[0]])

test('what would lose batches or checkpoints is said, what is a choice of the owner is not', async () => {
  expect((await provisioned()).map(({ outcome }) => outcome)).toEqual(['created', 'created', 'created'])
  expect((await provisioned()).map(({ outcome }) => outcome)).toEqual(['exists', 'exists', 'exists'])
  for (const stream of [...STREAMS, CHECKPOINT_STREAM_CONFIG])
    await manager.streams.update(stream.name, { max_age: DAY_NS, max_bytes: 1e9 })
  expect(said(await provisioned())).toEqual([
    [TELEMETRY_STREAM, 'differs', 'max_age is 86400000000000, not 0'],
    [DEAD_LETTER_STREAM, 'exists', ''],
    [
      CHECKPOINT_STREAM.replace('KV_', ''),
      'differs',
      'max_age is 86400000000000, not 0; max_bytes is 1000000000, not -1',
    ],
  ])
})

test('interrupted: makes nothing more', async () => {
  const interrupted = new DOMException('interrupted', 'AbortError')
  await expect(provisioned(AbortSignal.abort(interrupted))).rejects.toBe(interrupted)
  expect((await manager.streams.list().next()).length).toBe(0)
})

test('paths of credentials and of the authority are taken from the folder of the config', async () => {
  await writeFile(join(folder, 'processor.creds'), 'not looked into before it connects')
  const config = configWith({ credentials_file: 'processor.creds', tls_ca_file: 'ca.pem' })
  const options = await connectionOptions(join(folder, 'processor.yaml'), config)
  expect(options.tls).toEqual({ caFile: join(folder, 'ca.pem') })
  expect(options.authenticator).toBeTypeOf('function')
  await expect(connectionOptions(join(folder, 'elsewhere', 'p.yaml'), config)).rejects.toThrow(
    'elsewhere/processor.creds',
  )
})
