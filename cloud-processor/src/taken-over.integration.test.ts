/** Two processors by mistake on one stream: the one that started last has the partitions, the other says so and ends. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { encodeBatch, TELEMETRY_STREAM, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import {
  answers,
  createInfluxServer,
  createManagedProcess,
  createNatsServer,
  findServer,
  freePort,
} from '@tributary/stack'
import { expect, test } from 'vitest'
import { batchOf, blockOf } from './testing.ts'

const CONTRACTS = fileURLToPath(new URL('../../contracts', import.meta.url))
const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
const START_MS = 1_767_225_600_000

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + 30_000
  while (!(await condition().catch(() => false))) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`timed out: ${what}`)
    await systemClock.sleep(50)
  }
}

test.each([
  ['each with a checkpoint folder of its own', 'own'],
  ['one checkpoint folder', 'shared'],
  ['their checkpoints in NATS', 'nats'],
])(
  'two processors on the same partitions, %s: the first ends with 2 and says why, the second stores on',
  { timeout: 90_000 },
  async (_, sharing) => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-two-'))
    const nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
    const influx = await createInfluxServer(await findServer('influxd'), folder, {
      http: await freePort(),
      rpc: await freePort(),
    })
    await Promise.all([nats.start(), influx.start()])
    const create = async (name: string) => {
      const port = await freePort()
      const config = join(folder, `${name}.yaml`)
      const logFile = join(folder, `${name}.log`)
      await writeFile(
        config,
        `processor: ${name}
nats: { url: "${nats.url}" }
influx: { url: "${influx.url}" }
contracts: ${CONTRACTS}
checkpoint: { ${sharing === 'nats' ? '' : `folder: ${sharing === 'own' ? name : sharing}, `}interval: 100ms }
admin: { listen: "127.0.0.1:${port}" }
`,
      )
      const url = `http://127.0.0.1:${port}`
      const process_ = createManagedProcess({
        name,
        program: process.execPath,
        arguments: ['--import', 'tsx', MAIN, '--config', config],
        logFile,
        isReady: () => answers(`${url}/readyz`),
      })
      return { process: process_, logFile, url }
    }
    const first = await create('first')
    const second = await create('second')
    await first.process.start()
    const connection = await connect({ servers: nats.url })
    try {
      const client = jetstream(connection)
      const manager = await jetstreamManager(connection)
      const publish = (sequence: number) =>
        client.publish(
          telemetrySubject('workshop', 'agent-a'),
          encodeBatch(
            batchOf({
              sequence,
              readingsBefore: sequence - 1,
              completeThroughMs: START_MS + sequence * 1_000,
              blocks: [
                blockOf('tank-1', 'tank', [{ timeMs: START_MS + sequence * 1_000, values: { level_percent: 50 } }]),
              ],
            }),
          ),
        )
      const drained = async () => (await manager.streams.info(TELEMETRY_STREAM)).state.messages === 0
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
    } finally {
      await connection.close()
      await Promise.all([first.process.stop(), second.process.stop()])
      await Promise.all([nats.stop(), influx.stop()])
      await rm(folder, { recursive: true, force: true })
    }
  },
)
