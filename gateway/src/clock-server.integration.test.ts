/** The clock of a whole gateway, asked by real MQTT clients; NATS is not there, and not needed. */
import { clockPong, mqttTopic } from '@tributary/protocol'
import { createLogger, createMetrics, type KernelClock, parseConfig, systemClock } from '@tributary/runtime'
import { afterEach, expect, test } from 'vitest'
import { gatewayConfigSchema } from './config.ts'
import { createGateway } from './gateway.ts'
import { connectAgent, gatewayConfigText, temporaryFolder, until, writeCredentials } from './testing.ts'

const ending: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

test.each([
  ['synchronised', true],
  ['not synchronised', false],
] as [KernelClock, boolean][])(
  'a gateway whose kernel says "%s" answers a ping within its round trip',
  async (kernel, trusted) => {
    const folder = await temporaryFolder()
    ending.push(folder.remove)
    await writeCredentials(folder.path, ['agent-1'])
    const text = gatewayConfigText({ folder: folder.path, natsUrl: 'nats://127.0.0.1:1' })
    const gateway = await createGateway(parseConfig('gateway.yaml', text, gatewayConfigSchema), {
      clock: systemClock,
      log: createLogger('gateway', 'silent'),
      metrics: createMetrics('gateway'),
      readKernel: async () => kernel,
    })
    await gateway.start(AbortSignal.timeout(10_000))
    ending.push(() => gateway.stop(AbortSignal.timeout(5_000)))
    const client = await connectAgent(gateway.mqttPort, 'agent-1')
    ending.push(() => client.endAsync(true))
    const pongs: unknown[] = []
    client.on('message', (_topic, payload) => pongs.push(JSON.parse(payload.toString())))
    await client.subscribeAsync(mqttTopic('agent-1', 'clock'))
    const fromMs = systemClock.wallMs()
    for (const id of [1, 2, 3]) client.publish(mqttTopic('agent-1', 'clock'), JSON.stringify({ type: 'ping', id }))
    await until('all were answered', () => pongs.length === 3)
    for (const [i, pong] of pongs.map((one) => clockPong.parse(one)).entries()) {
      expect(pong).toMatchObject({ id: i + 1, trusted })
      expect(pong.wallMs).toBeGreaterThanOrEqual(fromMs)
      expect(pong.wallMs).toBeLessThanOrEqual(systemClock.wallMs())
    }
  },
)
