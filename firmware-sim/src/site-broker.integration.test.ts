import { createLogger, systemClock } from '@tributary/runtime'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterEach, expect, it } from 'vitest'
import { createSiteBroker, type SiteBroker } from './site-broker.ts'
import { until } from './test-site.ts'

const clients: MqttClient[] = []
let broker: SiteBroker | undefined
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true)
  await broker?.stop(new AbortController().signal)
})
async function start(limits: { sessionMessagesMax?: number; sessionBytesMax?: number }) {
  broker = createSiteBroker({ host: '127.0.0.1', port: 0 }, { log: createLogger('simulator', 'silent'), ...limits })
  await broker.start(new AbortController().signal)
  return broker
}
async function client(clientId: string, clean: boolean) {
  const connected = await connectAsync(broker?.url ?? '', { clientId, clean, protocolVersion: 4, reconnectPeriod: 0 })
  clients.push(connected)
  return connected
}

it.each([
  ['messages', { sessionMessagesMax: 10 }],
  ['bytes', { sessionBytesMax: 100 }],
])('an absent session at its limit of %s holds publishes back; they come when it returns', async (_, limits) => {
  const site = await start(limits)
  const agent = await client('agent', false)
  await agent.subscribeAsync('sensors/#', { qos: 1 })
  agent.stream.destroy()
  await until('away', () => site.status().connectedClients === 0)

  const device = await client('device', true)
  let acknowledged = 0
  const publishing = (async () => {
    for (let i = 0; i < 20; i++) {
      await device.publishAsync('sensors/device', `message ${i}`.padEnd(10), { qos: 1 })
      acknowledged++
    }
  })()
  await until('one waits', () => site.status().waitingPublishes === 1)
  await systemClock.sleep(200)
  // The PUBACK goes out before the message is in the queue: what was on its way by then may pass as well.
  expect(acknowledged).toBeGreaterThanOrEqual(10)
  expect(acknowledged).toBeLessThanOrEqual(12)
  expect(site.status()).toMatchObject({ queuedMessages: acknowledged, queuedBytes: acknowledged * 10 })

  const texts = new Set<string>()
  const again = await client('agent', false)
  again.on('message', (_topic, payload) => texts.add(payload.toString().trim()))
  await publishing
  await until('all', () => acknowledged === 20 && site.status().queuedMessages === 0)
  expect([...texts].sort()).toEqual(Array.from({ length: 20 }, (_, i) => `message ${i}`).sort())
})

it('acknowledges nothing that no session has subscribed to, and lets go of a device that left', async () => {
  const site = await start({})
  const device = await client('device', true)
  let acknowledged = false
  device.publishAsync('elsewhere/device', 'x', { qos: 1 }).then(
    () => {
      acknowledged = true
    },
    () => undefined,
  )
  const agent = await client('agent', false)
  await agent.subscribeAsync('sensors/#', { qos: 1 })
  await until('waits', () => site.status().waitingPublishes === 1)
  expect(acknowledged).toBe(false)
  device.stream.destroy()
  await until('gone', () => site.status().waitingPublishes === 0)
})
