import { decodeHeader, resendSubject, storedSubject, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  allForwarded,
  connectAgent,
  drainStream,
  EPOCH,
  makeBatch,
  publishBatch,
  SITE,
  sayToGateway,
  sequencesOf,
  startGateway,
  startNats,
  temporaryFolder,
  until,
} from './testing.ts'

describe('gateway', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let nats: Awaited<ReturnType<typeof startNats>>
  let gateway: Awaited<ReturnType<typeof startGateway>>

  beforeAll(async () => {
    folder = await temporaryFolder()
    nats = await startNats(folder.path)
    gateway = await startGateway({ folder: folder.path, natsUrl: nats.url })
  })
  afterAll(async () => {
    await gateway?.end()
    await nats?.stop()
    await folder?.remove()
  })

  test('a batch is acknowledged, forwarded as it came, and trimmed once it is in the store', async () => {
    const client = await connectAgent(gateway.mqttPort, 'agent-1')
    const batches = [1, 2, 3, 4, 5].map((sequence) => makeBatch('agent-1', sequence))
    await Promise.all(batches.map((batch) => publishBatch(client, 'agent-1', batch)))
    await client.endAsync()
    await until('all were forwarded', () => allForwarded(gateway))

    const messages = await drainStream(nats.url)
    const ours = messages.filter(({ subject }) => subject === telemetrySubject(SITE, 'agent-1'))
    expect(ours.map(({ data }) => data)).toEqual(batches)
    expect(gateway.status().spool.trimmedThrough).toBe(0)

    const sayStored = (agent: string, epoch: string, sequence: number) =>
      sayToGateway(nats.url, storedSubject(SITE), { site: SITE, watermarks: [{ agent, epoch, sequence }] })
    const health = messages.map(({ data }) => decodeHeader(data)).find(({ agent }) => agent === 'gw-1')
    await sayStored('gw-1', health?.epoch ?? '', 1)
    await sayStored('agent-1', EPOCH, 4)
    await systemClock.sleep(400)
    expect(gateway.status().spool.trimmedThrough, 'one of the run is not stored').toBe(0)
    await sayStored('agent-1', EPOCH, 5)
    await until('all were trimmed', () => gateway.status().spool.trimmedThrough === 6)
    expect(gateway.status().agents.find(({ agent }) => agent === 'agent-1')).toMatchObject({
      epoch: EPOCH,
      receivedThrough: 5,
      storedThrough: 5,
      batches: 5,
      readings: 15,
      repeated: 0,
    })
  })

  test('a repeat is acknowledged and not stored again, also after it was trimmed', async () => {
    const client = await connectAgent(gateway.mqttPort, 'agent-1')
    await publishBatch(client, 'agent-1', makeBatch('agent-1', 3))
    await publishBatch(client, 'agent-1', makeBatch('agent-1', 6))
    await Promise.all([6, 6, 7, 7].map((sequence) => publishBatch(client, 'agent-1', makeBatch('agent-1', sequence))))
    await client.endAsync()
    await until('both were forwarded', () => allForwarded(gateway))
    expect(sequencesOf(await drainStream(nats.url), 'agent-1')).toEqual([6, 7])
    expect(gateway.status().agents.find(({ agent }) => agent === 'agent-1')).toMatchObject({ batches: 7, repeated: 4 })
  })

  test('what the processor asks for is sent again, and what it does not is not', async () => {
    const client = await connectAgent(gateway.mqttPort, 'agent-2')
    for (let sequence = 1; sequence <= 10; sequence++)
      await publishBatch(client, 'agent-2', makeBatch('agent-2', sequence))
    await client.endAsync()
    await until('all were forwarded', () => allForwarded(gateway))
    await drainStream(nats.url)

    await sayToGateway(nats.url, resendSubject(SITE), {
      agent: 'agent-2',
      epoch: EPOCH,
      fromSequence: 4,
      toSequence: 6,
    })
    await until('three were sent again', () => gateway.status().resent === 3)
    expect(sequencesOf(await drainStream(nats.url), 'agent-2')).toEqual([4, 5, 6])
  })
})
