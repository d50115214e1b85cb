import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { answers, createManagedProcess, type ManagedProcess } from './managed-process.ts'
import type { FoundServer } from './servers.ts'

/** A real influxd 1.x on loopback ports; its data lies in `<folder>/influx`. */
export async function createInfluxServer(
  server: FoundServer,
  folder: string,
  ports: { http: number; rpc: number },
): Promise<ManagedProcess & { url: string }> {
  const config = join(folder, 'influxd.toml')
  const data = join(folder, 'influx')
  const text = `reporting-disabled = true
bind-address = "127.0.0.1:${ports.rpc}"
[meta]
  dir = "${join(data, 'meta')}"
[data]
  dir = "${join(data, 'data')}"
  wal-dir = "${join(data, 'wal')}"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:${ports.http}"
  log-enabled = false
[logging]
  level = "warn"
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
`
  await writeFile(config, text)
  const url = `http://127.0.0.1:${ports.http}`
  const managed = createManagedProcess({
    name: 'influxd',
    program: server.path,
    arguments: ['-config', config],
    environment: server.environment,
    logFile: join(folder, 'influxd.log'),
    isReady: () => answers(`${url}/ping`),
  })
  return Object.assign(managed, { url })
}
