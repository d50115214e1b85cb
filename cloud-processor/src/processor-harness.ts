/** The processor as a process of its own between real servers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type JetStreamClient, jetstream } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import {
  answers,
  createInfluxServer,
  createManagedProcess,
  createNatsServer,
  findServer,
  freePort,
  type ManagedProcess,
} from '@tributary/stack'
import { createInfluxQuery, type InfluxQuery } from './influx-query.ts'

/** The contracts of the repository. */
export const CONTRACTS = fileURLToPath(new URL('../../contracts', import.meta.url))
export const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))

/** @param port of its admin server, as `config` has it */
export const createProcessorProcess = (name: string, folder: string, port: number): ManagedProcess =>
  createManagedProcess({
    name,
    program: process.execPath,
    arguments: ['--import', 'tsx', MAIN, '--config', join(folder, `${name}.yaml`)],
    logFile: join(folder, `${name}.log`),
    isReady: () => answers(`http://127.0.0.1:${port}/readyz`),
  })

export interface Surroundings {
  readonly folder: string
  readonly nats: ManagedProcess & { url: string }
  readonly influx: ManagedProcess & { url: string }
  readonly processor: ManagedProcess
  /** URL of its admin server. */
  readonly admin: string
  readonly connection: NatsConnection
  readonly client: JetStreamClient
  readonly query: InfluxQuery
  stop(): Promise<void>
}

/**
 * Starts nats-server, influxd and a processor in a folder of their own.
 * @param configFor what its config says beside servers, name and admin port; may put files beside it
 */
export async function startSurroundings(
  name: string,
  configFor: (folder: string) => string | Promise<string>,
): Promise<Surroundings> {
  const folder = await mkdtemp(join(tmpdir(), `tributary-${name}-`))
  const nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  const influx = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  const port = await freePort()
  const processor = createProcessorProcess('processor', folder, port)
  const stopProcesses = async () => {
    await processor.stop()
    await Promise.all([nats.stop(), influx.stop()])
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await Promise.all([nats.start(), influx.start()])
    await writeFile(
      join(folder, 'processor.yaml'),
      `processor: processor-1
nats: { url: "${nats.url}" }
influx: { url: "${influx.url}", timeout: 5s }
admin: { listen: "127.0.0.1:${port}" }
linger: 20ms
${await configFor(folder)}`,
    )
    await processor.start()
  } catch (error) {
    await stopProcesses()
    throw error
  }
  const connection = await connect({ servers: nats.url })
  const query = createInfluxQuery({ url: influx.url, database: 'tributary' })
  return {
    ...{ folder, nats, influx, processor, admin: `http://127.0.0.1:${port}` },
    ...{ connection, client: jetstream(connection), query },
    async stop() {
      await query.close()
      await connection.close()
      await stopProcesses()
    },
  }
}
