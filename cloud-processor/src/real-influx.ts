/** For tests: a real influxd in a folder of its own. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInfluxServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'

export interface RealInflux {
  readonly server: ManagedProcess
  readonly url: string
  remove(): Promise<void>
}

export async function startRealInflux(): Promise<RealInflux> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-influx-'))
  const found = await findServer('influxd')
  const server = await createInfluxServer(found, folder, { http: await freePort(), rpc: await freePort() })
  await server.start()
  return {
    server,
    url: server.url,
    remove: async () => {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
