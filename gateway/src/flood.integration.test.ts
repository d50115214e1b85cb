import { writeFile } from 'node:fs/promises'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { mqttTopic } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { selfSigned } from '@tributary/runtime/testing'
import { generate } from 'mqtt-packet'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CLIENT_PACKETS_IN_FLIGHT_MAX } from './config.ts'
import { connectAgent, makeBatch, PASSWORD, publishBatch, startGateway, temporaryFolder } from './testing.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
beforeEach(async () => {
  folder = await temporaryFolder()
})
afterEach(() => folder.remove())

async function opened(socket: Socket, event: string): Promise<Socket> {
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.once(event, () => resolve()))
  return socket
}

test.each([
  ['TCP', false],
  ['TLS', true],
])(
  'a flood over %s from a client that reads no PUBACK stays within its window, and others are served',
  async (_what, withTls) => {
    const files = { cert: `${folder.path}/gateway.crt`, key: `${folder.path}/gateway.key` }
    const { cert, key } = selfSigned()
    await writeFile(files.cert, cert)
    await writeFile(files.key, key)
    const gateway = await startGateway({
      folder: folder.path,
      natsUrl: 'nats://127.0.0.1:1',
      // Slow to acknowledge: whatever is not held back would pile up meanwhile.
      sections: { ...(withTls ? { mqtt: { tls: files } } : {}), spool: { durability: '200ms', budget: '256MiB' } },
    })
    const address = { port: gateway.mqttPort, host: '127.0.0.1' }
    const flooder = await (withTls
      ? opened(connectTls({ ...address, rejectUnauthorized: false }), 'secureConnect')
      : opened(connectTcp(address), 'connect'))
    const bystander = await connectAgent(
      gateway.mqttPort,
      'agent-1',
      withTls ? { protocol: 'mqtts', rejectUnauthorized: false } : {},
    )
    try {
      flooder.write(
        generate({
          cmd: 'connect',
          protocolId: 'MQTT',
          protocolVersion: 4,
          clean: true,
          clientId: 'f',
          keepalive: 60,
          username: 'agent-2',
          password: Buffer.from(PASSWORD),
        }),
      )
      await new Promise<void>((resolve) => flooder.once('data', () => resolve()))
      flooder.pause()

      const inFlight = gateway.metrics.registry.getSingleMetric('tributary_gateway_batches_in_flight')
      const payload = Buffer.alloc(2_000, 7)
      const topic = mqttTopic('agent-2', 'batch')
      const startedMs = systemClock.monotonicMs()
      let most = 0
      let sent = 0
      let served = 0
      const serve = async () => {
        while (systemClock.monotonicMs() - startedMs < 1_500) {
          await publishBatch(bystander, 'agent-1', makeBatch('agent-1', served + 1))
          served += 1
        }
      }
      const serving = serve()
      while (systemClock.monotonicMs() - startedMs < 1_500 && !flooder.destroyed) {
        while (flooder.writableLength < 2_000_000) {
          sent += 1
          flooder.write(
            generate({
              cmd: 'publish',
              topic,
              payload,
              qos: 1,
              messageId: (sent % 65_000) + 1,
              dup: false,
              retain: false,
            }),
          )
        }
        most = Math.max(most, (await inFlight?.get())?.values[0]?.value ?? 0)
        await systemClock.sleep(2)
      }
      await serving
      expect(sent).toBeGreaterThan(500)
      expect(most).toBeGreaterThan(CLIENT_PACKETS_IN_FLIGHT_MAX / 2)
      expect(most).toBeLessThanOrEqual(CLIENT_PACKETS_IN_FLIGHT_MAX + 1)
      expect(served).toBeGreaterThan(2)
    } finally {
      flooder.destroy()
      await bystander.endAsync(true)
      await gateway.end()
    }
  },
)
