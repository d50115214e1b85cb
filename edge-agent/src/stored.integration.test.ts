/** What the gateway says of the store, and what it asks for. A real MQTT client, a real broker, a real disk. */
import { writeFileSync } from 'node:fs'
import { mqttTopic } from '@tributary/protocol'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool, type Spool } from '@tributary/spool'
import { afterEach, expect, test } from 'vitest'
import type { AgentConfig } from './config.ts'
import { RECORDS_KEPT } from './recover.ts'
import { gatewayFilePath } from './stored-watermark.ts'
import { appendBatch, startGateway, type TestGateway, until, uplinkConfig } from './testing.ts'
import { createUplink, type Uplink } from './uplink.ts'

const clock = systemClock
const [GATEWAY, ANOTHER] = ['feedfacecafebeef', 'deadbeefdeadbeef'] as const
const lines: string[] = []
const log = createLogger('test', 'info', { write: (line: string) => lines.push(line) })
const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

async function agentWith(retain: 'stored' | 'acknowledged') {
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const config = uplinkConfig(gateway.port, { spool: { retain } })
  const spool = await openTestSpool(config)
  return { gateway, config, spool, uplink: await startUplink(config, spool) }
}
async function openTestSpool(config: AgentConfig): Promise<Spool> {
  const limits = { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 26, durabilityMs: 0, freeBytesMin: 0 }
  const spool = await openSpool(config.spool.folder, limits, { clock, log, metrics: createMetrics('test') })
  cleanUps.push(() => spool.close())
  return spool
}
async function startUplink(config: AgentConfig, spool: Spool) {
  const uplink = createUplink(config, { spool, clock, log, onSent: () => undefined })
  await uplink.start(AbortSignal.timeout(1_000))
  cleanUps.push(() => uplink.stop(AbortSignal.abort()))
  await until('connected', () => uplink.connected)
  return uplink
}
const fill = async (spool: Spool, count: number) => {
  await Promise.all(Array.from({ length: count }, () => appendBatch(spool)))
  await until('all sent', () => spool.sentThrough === spool.nextSequence - 1)
}
const sayStored = (gateway: TestGateway, spool: Spool, sequence: number, gatewayEpoch: string = GATEWAY) =>
  gateway.say(mqttTopic('pi-1', 'stored'), { gatewayEpoch, epoch: spool.epoch, sequence })
/** Connected is not subscribed yet: what is said before reaches nobody. */
const sayNothingStored = (gateway: TestGateway, spool: Spool, uplink: Uplink, gatewayEpoch: string = GATEWAY) =>
  until('the gateway is known', () => {
    sayStored(gateway, spool, 0, gatewayEpoch)
    return uplink.gatewayEpoch === gatewayEpoch
  })

test('retain: acknowledged lets go of what the gateway has', async () => {
  const { gateway, spool, uplink } = await agentWith('acknowledged')
  await fill(spool, 300)
  await until('trimmed', () => spool.trimmedThrough === 300 - RECORDS_KEPT)
  expect(uplink.storedThrough).toBeUndefined()
  sayStored(gateway, spool, 7)
  await until('known', () => uplink.storedThrough === 7)
  expect(spool.trimmedThrough).toBe(300 - RECORDS_KEPT)
})

test('retain: stored keeps everything until it is in the store', async () => {
  const { gateway, spool, uplink } = await agentWith('stored')
  await fill(spool, 300)
  await clock.sleep(100)
  expect(spool.trimmedThrough).toBe(0)
  sayStored(gateway, spool, 280)
  await until('trimmed', () => spool.trimmedThrough === 280 - RECORDS_KEPT)
  sayStored(gateway, spool, 200)
  gateway.say(mqttTopic('pi-1', 'stored'), { gatewayEpoch: GATEWAY, epoch: '00000000000000ff', sequence: 9_000 })
  gateway.say(mqttTopic('pi-1', 'stored'), 'nonsense')
  await clock.sleep(100)
  expect(uplink.storedThrough, 'neither backwards nor by the word of another epoch').toBe(280)
  expect(spool.trimmedThrough).toBe(280 - RECORDS_KEPT)
})

test('a gateway with another disk gets everything that is not in the store again, also after a restart of the agent', async () => {
  const { gateway, config, spool, uplink } = await agentWith('stored')
  await sayNothingStored(gateway, spool, uplink)
  await fill(spool, 50)
  sayStored(gateway, spool, 40)
  await until('known', () => uplink.storedThrough === 40)
  expect(gateway.repeats).toBe(0)
  sayStored(gateway, spool, 0, ANOTHER)
  await until('sent again', () => gateway.repeats === 10 && uplink.batchesResent === 10)
  await clock.sleep(100)
  await uplink.stop(AbortSignal.timeout(2_000))

  const again = await startUplink(config, spool)
  await sayNothingStored(gateway, spool, again, ANOTHER)
  await clock.sleep(100)
  expect(gateway.repeats, 'this one is known').toBe(10)
  sayStored(gateway, spool, 45, GATEWAY)
  await until('the other one is not', () => gateway.repeats === 15 && again.batchesResent === 5)
})

test('a note of the last gateway that cannot be read costs repeats, not batches', async () => {
  const { gateway, config, spool, uplink } = await agentWith('stored')
  await sayNothingStored(gateway, spool, uplink)
  await fill(spool, 20)
  await uplink.stop(AbortSignal.timeout(2_000))
  writeFileSync(gatewayFilePath(config.spool.folder), 'garbled')
  const again = await startUplink(config, spool)
  sayStored(gateway, spool, 12)
  await until('sent again', () => gateway.repeats === 8)
  expect(again.storedThrough).toBe(12)
})

test('asked by the gateway it sends again what it has, and says what it has not', async () => {
  const { gateway, spool, uplink } = await agentWith('acknowledged')
  await fill(spool, 30)
  const ask = (fromSequence: number, toSequence: number, epoch = spool.epoch) =>
    gateway.say(mqttTopic('pi-1', 'command'), { type: 'resend', epoch, fromSequence, toSequence })
  ask(11, 20)
  await until('sent again', () => gateway.repeats === 10)
  expect(gateway.lastRepeat?.header).toMatchObject({ sequence: 20, lane: 'backlog' })
  ask(29, 34)
  ask(1, 3, '00000000000000ff')
  gateway.say(mqttTopic('pi-1', 'command'), { type: 'dance' })
  await until('said', () => uplink.batchesGone === 7)
  expect(uplink.batchesResent).toBe(12)
  expect(lines.filter((line) => line.includes('not in the spool any more'))).toHaveLength(2)
  expect(lines.some((line) => line.includes('a command of the gateway could not be read'))).toBe(true)
})

test('what was trimmed is not sent again, although it can still be read', async () => {
  const { gateway, spool, uplink } = await agentWith('acknowledged')
  await fill(spool, 300)
  await until('trimmed', () => spool.trimmedThrough === 300 - RECORDS_KEPT)
  expect((await spool.read(1, 1))[0]?.sequence).toBe(1)
  gateway.say(mqttTopic('pi-1', 'command'), { type: 'resend', epoch: spool.epoch, fromSequence: 41, toSequence: 50 })
  await until('said', () => uplink.batchesGone === 4)
  expect(uplink.batchesResent).toBe(6)
})

test('what the end of a connection interrupts is sent again over the next one', async () => {
  const { gateway, spool, uplink } = await agentWith('acknowledged')
  await fill(spool, 100)
  gateway.answerMs = 20
  gateway.say(mqttTopic('pi-1', 'command'), { type: 'resend', epoch: spool.epoch, fromSequence: 1, toSequence: 100 })
  await until('begun', () => gateway.repeats > 20)
  gateway.disconnectAll()
  await until('all were sent again', () => gateway.repeats >= 100)
  await until('done', () => uplink.batchesResent >= 100)
  expect(gateway.repeats).toBeLessThan(110)
})

test('a gateway with another disk gets what it lost although too many requests waited when it said so', async () => {
  const { gateway, spool, uplink } = await agentWith('stored')
  sayStored(gateway, spool, 0)
  await fill(spool, 20)
  gateway.answerMs = 20
  for (let i = 0; i < 120; i++)
    gateway.say(mqttTopic('pi-1', 'command'), { type: 'resend', epoch: spool.epoch, fromSequence: 1, toSequence: 1 })
  sayStored(gateway, spool, 0, ANOTHER)
  await until('one was left out', () => lines.some((line) => line.includes('too many requests')))
  await until('the others are served', () => uplink.batchesResent >= 100)
  sayStored(gateway, spool, 0, ANOTHER)
  await until('all of it was sent again', () => uplink.batchesResent === 120)
  expect(gateway.lastRepeat?.header.sequence).toBe(20)
})
