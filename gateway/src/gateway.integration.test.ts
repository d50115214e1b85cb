import { decodeHeader, mqttTopic, resendSubject, storedSubject, telemetrySubject } from '@tributary/protocol'
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

describe('what agents are told', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let nats: Awaited<ReturnType<typeof startNats>>
  const ending: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    folder = await temporaryFolder()
    nats = await startNats(folder.path)
  })
  afterAll(async () => {
    for (const end of ending.splice(0).reverse()) await end()
    await nats?.stop()
    await folder?.remove()
  })
  const listen = async (port: number) => {
    const client = await connectAgent(port, 'agent-1')
    ending.push(() => client.endAsync(true))
    const heard: Record<string, unknown>[] = []
    client.on('message', (topic, payload) =>
      heard.push({ channel: topic.split('/').at(-1), ...JSON.parse(payload.toString()) }),
    )
    await client.subscribeAsync([mqttTopic('agent-1', 'stored'), mqttTopic('agent-1', 'command')])
    return { client, heard }
  }
  const restarted = async (spool: string) => {
    const gateway = await startGateway({
      folder: folder.path,
      natsUrl: nats.url,
      sections: { spool: { folder: `${folder.path}/${spool}` } },
    })
    return gateway
  }

  test('the stored watermark, also after a restart; with another disk the gateway has another epoch', async () => {
    const first = await restarted('one')
    const before = await listen(first.mqttPort)
    for (const sequence of [1, 2, 3])
      await publishBatch(before.client, 'agent-1', makeBatch('agent-1', sequence, { epoch: EPOCH }))
    const gatewayEpoch = first.status().spool.epoch
    await until('nothing is known', () => before.heard.length === 1)
    expect(before.heard).toEqual([{ channel: 'stored', gatewayEpoch, epoch: EPOCH, sequence: 0 }])
    const watermarks = [{ agent: 'agent-1', epoch: EPOCH, sequence: 3 }]
    await sayToGateway(nats.url, storedSubject(SITE), { site: SITE, watermarks })
    await until('it was told', () => before.heard.length === 2)
    expect(before.heard[1]).toEqual({ channel: 'stored', gatewayEpoch, epoch: EPOCH, sequence: 3 })
    await before.client.endAsync()
    await first.end()

    const second = await restarted('one')
    const again = await listen(second.mqttPort)
    await until('it is told again', () => again.heard.length === 1)
    expect(again.heard).toEqual([{ channel: 'stored', gatewayEpoch, epoch: EPOCH, sequence: 3 }])
    await again.client.endAsync()
    await second.end()

    const third = await restarted('two')
    ending.push(third.end)
    const last = await listen(third.mqttPort)
    await publishBatch(last.client, 'agent-1', makeBatch('agent-1', 4))
    await until('it is told', () => last.heard.length === 1)
    expect(last.heard[0]).toMatchObject({ epoch: EPOCH, sequence: 0 })
    expect(last.heard[0]?.['gatewayEpoch']).not.toBe(gatewayEpoch)
    await last.client.endAsync()
  })

  test('asked for what it does not have, the gateway asks the agent, and takes again what it had lost', async () => {
    const gateway = await restarted('three')
    ending.push(gateway.end)
    const { client, heard } = await listen(gateway.mqttPort)
    const epoch = 'aaaaaaaaaaaaaaaa'
    const send = (sequence: number) => publishBatch(client, 'agent-1', makeBatch('agent-1', sequence, { epoch }))
    for (const sequence of [1, 2, 5]) await send(sequence)
    await until('all were forwarded', () => allForwarded(gateway))
    const ask = { agent: 'agent-1', epoch, fromSequence: 1, toSequence: 6 }
    await sayToGateway(nats.url, resendSubject(SITE), ask)
    const commands = () => heard.filter(({ channel }) => channel === 'command')
    await until('the agent was asked', () => commands().length === 2)
    expect(commands()).toEqual([
      { channel: 'command', type: 'resend', epoch, fromSequence: 3, toSequence: 4 },
      { channel: 'command', type: 'resend', epoch, fromSequence: 6, toSequence: 6 },
    ])
    expect(gateway.status().resent, 'the others came from its own spool').toBe(3)
    for (const sequence of [3, 4, 6]) await send(sequence)

    // In the store, trimmed, and then the store says that it is missing after all: only the agent can have it.
    const health = gateway.status().agents.find(({ agent }) => agent === 'gw-1')
    await sayToGateway(nats.url, storedSubject(SITE), {
      site: SITE,
      watermarks: [
        { agent: 'agent-1', epoch, sequence: 6 },
        { agent: 'gw-1', epoch: health?.epoch, sequence: health?.receivedThrough },
      ],
    })
    await until('all were trimmed', () => gateway.status().spool.trimmedThrough >= 7)
    await send(5)
    expect(gateway.status().agents.find(({ agent }) => agent === 'agent-1')?.repeated).toBe(1)
    await sayToGateway(nats.url, resendSubject(SITE), { agent: 'agent-1', epoch, fromSequence: 5, toSequence: 5 })
    await until('the agent was asked', () => commands().length === 3)
    await drainStream(nats.url)
    await send(5)
    await until('all were forwarded', () => allForwarded(gateway))
    expect(sequencesOf(await drainStream(nats.url), 'agent-1')).toEqual([5])
  })
})
