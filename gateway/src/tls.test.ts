import { readFile, writeFile } from 'node:fs/promises'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { mqttTopic } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { connectAsync } from 'mqtt'
import { generate } from 'mqtt-packet'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeBatch, PASSWORD, publishBatch, selfSigned, startGateway, temporaryFolder, until } from './testing.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let gateway: Awaited<ReturnType<typeof startGateway>>
const files = () => ({ cert: `${folder.path}/gateway.crt`, key: `${folder.path}/gateway.key` })
async function writeCertificate() {
  const { cert, key } = selfSigned()
  await writeFile(files().cert, cert)
  await writeFile(files().key, key)
}
beforeAll(async () => {
  folder = await temporaryFolder()
  await writeCertificate()
  gateway = await startGateway({
    folder: folder.path,
    natsUrl: 'nats://127.0.0.1:1',
    sections: { mqtt: { tls: files() }, spool: { budget: '256MiB' } },
  })
})
afterAll(async () => {
  await gateway?.end()
  await folder?.remove()
})
const connectAgent = async (ca: Buffer) =>
  connectAsync(
    `mqtts://127.0.0.1:${gateway.mqttPort}`,
    {
      username: 'agent-1',
      password: PASSWORD,
      reconnectPeriod: 0,
      ca,
      checkServerIdentity: () => undefined,
    } as Parameters<typeof connectAsync>[1],
    false,
  )

test('agents come over TLS, and a renewed certificate is served after a reload', async () => {
  const before = await readFile(files().cert)
  const client = await connectAgent(before)
  await publishBatch(client, 'agent-1', makeBatch('agent-1', 1))

  await writeCertificate()
  await gateway.reload()
  await expect(connectAgent(before)).rejects.toThrow(/certificate/i)
  await publishBatch(client, 'agent-1', makeBatch('agent-1', 2))
  const renewed = await connectAgent(await readFile(files().cert))
  await publishBatch(renewed, 'agent-1', makeBatch('agent-1', 3))
  await renewed.endAsync()
})

test('plain MQTT on the TLS port is refused and counted', async () => {
  await expect(
    connectAsync(
      `mqtt://127.0.0.1:${gateway.mqttPort}`,
      { username: 'agent-1', password: PASSWORD, reconnectPeriod: 0, connectTimeout: 3_000 },
      false,
    ),
  ).rejects.toThrow()
  await until('it was counted', () => (gateway.status().refused['bad_handshake'] ?? 0) > 0)
})

test('a flood over TLS from a client that reads nothing stays within the window', async () => {
  const socket: TLSSocket = connectTls({ port: gateway.mqttPort, host: '127.0.0.1', rejectUnauthorized: false })
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.once('secureConnect', () => resolve()))
  socket.write(
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
  await new Promise<void>((resolve) => socket.once('data', () => resolve()))
  socket.pause()
  const batch = makeBatch('agent-2', 1, {}, 2_000)
  let sent = 0
  const rssBefore = process.memoryUsage.rss()
  const startedMs = systemClock.monotonicMs()
  let most = 0
  while (systemClock.monotonicMs() - startedMs < 1_500 && !socket.destroyed) {
    for (let i = 0; i < 100; i++) {
      sent += 1
      socket.write(
        generate({
          cmd: 'publish',
          topic: mqttTopic('agent-2', 'batch'),
          payload: makeOther(batch, sent),
          qos: 1,
          messageId: (sent % 65_000) + 1,
          dup: false,
          retain: false,
        }),
      )
    }
    const handled = gateway.status().agents.find(({ agent }) => agent === 'agent-2')
    most = Math.max(most, handled?.batches ?? 0)
    while (socket.writableLength > 4_000_000 && !socket.destroyed && systemClock.monotonicMs() - startedMs < 1_500)
      await systemClock.sleep(5)
  }
  socket.destroy()
  expect(sent).toBeGreaterThan(500)
  expect(process.memoryUsage.rss() - rssBefore).toBeLessThan(200 * 1024 * 1024)
})

/** The batch with a sequence of its own is dear to make; unreadable ones cost the gateway the same. */
function makeOther(batch: Buffer, n: number): Buffer {
  const other = Buffer.from(batch)
  other.writeUInt32BE(n, batch.length - 4)
  return other
}
