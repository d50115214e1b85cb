/** The registry in a bucket of a real nats-server: followed live, over restarts of the server, over the loss of the bucket. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { createLogger, systemClock } from '@tributary/runtime'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DeviceChangedError, openDeviceBucket } from './device-bucket.ts'
import { ALWAYS_MS, type Placement, placementAt, withPlacement } from './device-record.ts'
import { createDeviceRegistry } from './device-registry.ts'

let folder: string
let nats: ManagedProcess & { url: string }
let connection: NatsConnection
const said: string[] = []
const log = createLogger('test', 'info', { write: (line: string) => void said.push(line) })

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-bucket-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  await nats.start()
  connection = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 })
})
afterAll(async () => {
  await connection?.close()
  await nats?.stop()
  await rm(folder, { recursive: true, force: true })
})

const at = (site: string, fromMs = ALWAYS_MS): Placement => ({
  fromMs,
  site,
  line: '',
  name: '',
  location: '',
  thresholds: [],
})
const until = async (what: string, check: () => boolean, waitMs = 30_000) => {
  const untilMs = systemClock.monotonicMs() + waitMs
  while (!check()) {
    if (systemClock.monotonicMs() > untilMs) throw new Error(`not within ${waitMs} ms: ${what}\n${said.join('')}`)
    await systemClock.sleep(20)
  }
}

test('followed live; what is wrong or gone leaves in force what was known, and a later start goes by the copy', async () => {
  const file = join(folder, 'devices.yaml')
  await writeFile(file, 'devices:\n  - { device: pump-1, site: hall }\n  - { device: pump-2, site: hall }\n')
  const options = { file, bucket: 'devices', copy: join(folder, 'state', 'registry-processor-1.json') }
  const start = async () => {
    const stopping = new AbortController()
    const registry = createDeviceRegistry(options, { clock: systemClock, log, checkEveryMs: 50 })
    await registry.load()
    const watching = registry.watch(connection, stopping.signal)
    await registry.settled(stopping.signal)
    const site = (device: string, timeMs = 0) => placementAt(registry.find(device, registry.version), timeMs)?.site
    const stop = () => {
      stopping.abort()
      return watching
    }
    return { registry, site, stop }
  }

  const first = await start()
  expect(first.registry.status()).toMatchObject({ devices: 2, bucket: 'absent' })
  const bucket = await openDeviceBucket(connection, 'devices', { create: true })
  if (bucket === undefined) throw new Error('no bucket')
  const record = withPlacement(withPlacement(undefined, at('yard')), at('annex', 5_000))
  await bucket.put('pump-1', record, 0)
  await until('the bucket is read', () => first.site('pump-1') === 'yard')
  expect([first.site('pump-1', 5_000), first.site('pump-2')]).toEqual(['annex', 'hall'])

  // Two people edit one device: the slower one is told.
  const stored = await bucket.get('pump-1')
  await bucket.put('pump-1', withPlacement(undefined, at('dock')), stored?.revision ?? 0)
  await expect(bucket.put('pump-1', record, stored?.revision ?? 0)).rejects.toThrow(DeviceChangedError)
  await until('an edit is seen', () => first.site('pump-1') === 'dock')

  // Somebody writes rubbish with another program.
  await (await new Kvm(connection).open('devices')).put('pump-1', '{"version":1,"placements":[{"sight":"x"}]}')
  await until('it is said', () => said.some((line) => line.includes('placements[0]')))
  expect(first.site('pump-1')).toBe('dock')

  // The server goes away and comes back.
  await nats.stop()
  await nats.start()
  await until('connected again', () => !connection.isClosed())
  const again = await bucket.get('pump-2').catch(() => undefined)
  await bucket.put('pump-2', withPlacement(undefined, at('pier')), again?.revision ?? 0)
  await until('edits after a restart of the server are seen', () => first.site('pump-2') === 'pier')
  await first.stop()

  // A later start reads the bucket, and keeps what it knows of the device that cannot be read.
  const second = await start()
  expect(second.registry.status()).toMatchObject({ bucket: 'read' })
  expect([second.site('pump-1'), second.site('pump-2')]).toEqual(['dock', 'pier'])
  await bucket.delete('pump-2')
  await until('what is deleted is what the file says again', () => second.site('pump-2') === 'hall')
  await second.stop()

  // The bucket is lost with the disk of the server: the copy is in force, and somebody is told.
  await (await jetstreamManager(connection)).streams.delete('KV_devices')
  said.length = 0
  const third = await start()
  await until('it is said', () => said.some((line) => line.includes('last known copy')))
  expect([third.site('pump-1'), third.registry.status().bucket]).toEqual(['dock', 'copy'])
  const made = await openDeviceBucket(connection, 'devices', { create: true })
  await made?.put('pump-1', withPlacement(undefined, at('quay')), 0)
  await until('the bucket is made again', () => third.site('pump-1') === 'quay')
  await third.stop()
}, 120_000)

test('a record that the bucket does not take: what and why', async () => {
  const bucket = await openDeviceBucket(connection, 'small', { create: true })
  const long = { ...withPlacement(undefined, at('hall')), version: 'x'.repeat(70_000) } as never
  await expect(bucket?.put('pump-1', long, 0)).rejects.toThrow(/the bucket small does not take pump-1: .*exceeds/)
})

test('an import of thousands is taken in few steps: the copy is not written for each device', async () => {
  const registry = createDeviceRegistry(
    { file: undefined, bucket: 'fleet', copy: join(folder, 'state', 'registry-fleet.json') },
    { clock: systemClock, log },
  )
  const stopping = new AbortController()
  const bucket = await openDeviceBucket(connection, 'fleet', { create: true })
  await registry.load()
  const watching = registry.watch(connection, stopping.signal)
  await registry.settled(stopping.signal)
  const devices = Array.from({ length: 1_000 }, (_, i) => `pump-${i}`).values()
  const put = async () => {
    for (const device of devices) await bucket?.put(device, withPlacement(undefined, at('hall')), 0)
  }
  await Promise.all(Array.from({ length: 32 }, put))
  await until('all are known', () => registry.status().devices === 1_000)
  expect(registry.status().revision).toBeLessThan(50)
  stopping.abort()
  await watching
}, 120_000)
