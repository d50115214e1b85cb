import { readFile, writeFile } from 'node:fs/promises'
import { selfSigned } from '@tributary/runtime/testing'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeBatch, PASSWORD, publishBatch, startGateway, temporaryFolder, until } from './testing.ts'

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
