/** Two processors by mistake on one stream: the one that started last has the partitions, the other says so and ends. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { encodeBatch, TELEMETRY_STREAM, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { createInfluxServer, createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { expect, test } from 'vitest'
import { CONTRACTS, createProcessorProcess } from './processor-harness.ts'
import { batchOf, blockOf } from './testing.ts'

const START_MS = 1_767_225_600_000

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 30_000
  while (!(await condition().catch(() => false))) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`timed out: ${what}`)
    await systemClock.sleep(50)
  }
}

interface World {
  create(name: string): Promise<{ process: ManagedProcess; logFile: string }>
  publish(sequence: number): Promise<unknown>
  /** Whether the stream is empty. */
  drained(): Promise<boolean>
}

/** Keeps the folder with all logs when the work throws, and says where. */
async function withWorld(sharing: string, work: (world: World) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-two-'))
  const nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  const influx = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await Promise.all([nats.start(), influx.start()])
  const connection = await connect({ servers: nats.url })
  const client = jetstream(connection)
  const manager = await jetstreamManager(connection)
  const created: ManagedProcess[] = []
  const create = async (name: string) => {
    const port = await freePort()
    const logFile = join(folder, `${name}.log`)
    await writeFile(
      join(folder, `${name}.yaml`),
      `processor: ${name}
nats: { url: "${nats.url}" }
influx: { url: "${influx.url}" }
contracts: ${CONTRACTS}
checkpoint: { ${sharing === 'nats' ? '' : `folder: ${sharing === 'own' ? name : sharing}, `}interval: 100ms }
admin: { listen: "127.0.0.1:${port}" }
`,
    )
    const managed = createProcessorProcess(name, folder, port)
    created.push(managed)
    return { process: managed, logFile }
  }
  const publish = (sequence: number) =>
    client.publish(
      telemetrySubject('workshop', 'agent-a'),
      encodeBatch(
        batchOf({
          sequence,
          readingsBefore: sequence - 1,
          completeThroughMs: START_MS + sequence * 1_000,
          blocks: [blockOf('tank-1', 'tank', [{ timeMs: START_MS + sequence * 1_000, values: { level_percent: 50 } }])],
        }),
      ),
    )
  let failed = true
  try {
    await work({
      create,
      publish,
      drained: async () => (await manager.streams.info(TELEMETRY_STREAM)).state.messages === 0,
    })
    failed = false
  } finally {
    await connection.close()
    await Promise.all(created.map((one) => one.stop()))
    await Promise.all([nats.stop(), influx.stop()])
    if (failed) console.error(`logs and data are kept in ${folder}`)
    else await rm(folder, { recursive: true, force: true })
  }
}

const PLACES = [
  ['each with a checkpoint folder of its own', 'own'],
  ['one checkpoint folder', 'shared'],
  ['their checkpoints in NATS', 'nats'],
]

test.each(PLACES)(
  'two processors on the same partitions, %s: the first ends with 2 and says why, the second stores on',
  { timeout: 90_000 },
  (_, sharing) =>
    withWorld(sharing as string, async ({ create, publish, drained }) => {
      const first = await create('first')
      const second = await create('second')
      await first.process.start()
      for (let sequence = 1; sequence <= 20; sequence++) await publish(sequence)
      await until('the first stored', drained)
      await second.process.start()
      for (let sequence = 21; sequence <= 60; sequence++) await publish(sequence)
      await until('the first ended', async () => !first.process.running)
      expect(await first.process.stop()).toBe(2)
      const said = await readFile(first.logFile, 'utf8')
      expect(said).toMatch(/partition \d+ was taken over/)
      expect(said).toContain('two processors work on the same partitions: stop one of them')
      for (let sequence = 61; sequence <= 80; sequence++) await publish(sequence)
      await until('the second stored', drained)
      expect(second.process.running).toBe(true)
      expect(await readFile(second.logFile, 'utf8')).not.toContain('taken over')
    }),
)

/** More than it takes until each looks whose the consumer is. */
const SETTLED_MS = 8_000

test.each(PLACES)(
  'two processors started on the same partitions at the same moment, %s: one of them ends with 2, the other stores on',
  { timeout: 120_000 },
  (_, sharing) =>
    withWorld(sharing as string, async ({ create, publish, drained }) => {
      const two = [await create('first'), await create('second')]
      const starting = two.map((one) => one.process.start().catch(() => undefined))
      await Promise.all(starting)
      for (let sequence = 1; sequence <= 20; sequence++) await publish(sequence)
      await until('one ended', async () => two.filter((one) => one.process.running).length < 2)
      await systemClock.sleep(SETTLED_MS)
      for (let sequence = 21; sequence <= 40; sequence++) await publish(sequence)
      const left = two.filter((one) => one.process.running)
      expect(left).toHaveLength(1)
      await until('the other one stored', drained)
      const [ended] = two.filter((one) => !one.process.running)
      expect(await ended?.process.stop()).toBe(2)
      expect(await readFile(ended?.logFile as string, 'utf8')).toMatch(/partition \d+ was taken over/)
    }),
)
