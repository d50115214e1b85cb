import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createManagedProcess, type ManagedProcess } from './managed-process.ts'
import type { FoundServer } from './servers.ts'

/** A real nats-server with JetStream on a loopback port; its data lies in `<folder>/jetstream`. */
export async function createNatsServer(
  server: FoundServer,
  folder: string,
  port: number,
): Promise<ManagedProcess & { url: string }> {
  const config = join(folder, 'nats-server.conf')
  const text = `listen: "127.0.0.1:${port}"
server_name: tributary
max_payload: 2MB
jetstream { store_dir: "${join(folder, 'jetstream')}", max_memory_store: 64MB, max_file_store: 8GB }
`
  await writeFile(config, text)
  const managed = createManagedProcess({
    name: 'nats-server',
    program: server.path,
    arguments: ['-c', config],
    environment: server.environment,
    logFile: join(folder, 'nats-server.log'),
    isReady: () => accepts(port),
  })
  return Object.assign(managed, { url: `nats://127.0.0.1:${port}` })
}

/** Whether something takes connections on a loopback port. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => socket.destroy() && resolve(true))
    socket.once('error', () => resolve(false))
  })
}
