import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createManagedProcess, type ManagedProcess } from './managed-process.ts'
import { accepts } from './nats-server.ts'
import type { FoundServer } from './servers.ts'

/**
 * A real mosquitto on a loopback port, as the broker of sensors. It keeps in memory whatever a subscriber has not taken, without a
 * limit, and lets `inFlightMax` messages wait for their PUBACK (its own default is 20).
 */
export async function createMosquitto(
  server: FoundServer,
  folder: string,
  port: number,
  inFlightMax: number,
): Promise<ManagedProcess & { url: string }> {
  const config = join(folder, 'mosquitto.conf')
  const text = `listener ${port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages ${inFlightMax}
`
  await writeFile(config, text)
  const managed = createManagedProcess({
    name: 'mosquitto',
    program: server.path,
    arguments: ['-c', config],
    environment: server.environment,
    logFile: join(folder, 'mosquitto.log'),
    isReady: () => accepts(port),
  })
  return Object.assign(managed, { url: `mqtt://127.0.0.1:${port}` })
}
