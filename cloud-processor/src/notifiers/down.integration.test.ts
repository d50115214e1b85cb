/** All receivers at once, over real servers of each protocol, go down in the middle and come back: each is told everything, none twice by key. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, createMetrics, parseConfig, systemClock } from '@tributary/runtime'
import { createMosquitto, findServer, freePort } from '@tributary/stack'
import mqtt from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { enqueueAll, exampleNotification, exampleTransition } from './example-notification.ts'
import { createNotifiers, notifiersSchema, sendTest, type TestOutcome } from './index.ts'
import { startMqttReceiver } from './mqtt-receiver-harness.ts'
import { createOutbox } from './outbox.ts'
import { settle, startOutbox } from './outbox-state.ts'
import { startReceiver } from './receiver.ts'
import { startSmtpReceiver } from './smtp-receiver-harness.ts'

const EPISODES = 10
const DOWN_MS = 5_000
const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const one of undo.splice(0).reverse()) await one()
})
const log = createLogger('test', 'silent')

interface Opened {
  readonly port: number
  /** A text of each that was taken. */
  texts(): string[]
  close(): Promise<void>
}
const overHttp = async (port: number): Promise<Opened> => {
  const { port: bound, taken, close } = await startReceiver(() => ({ status: 200 }), { port })
  return { port: bound, texts: () => taken.map(({ headers, body }) => `${headers['idempotency-key']} ${body}`), close }
}
const overSmtp = async (port: number): Promise<Opened> => {
  const { port: bound, taken, close } = await startSmtpReceiver(() => 'take', { port })
  return { port: bound, texts: () => taken.map(({ source }) => source), close }
}
const overMqtt = async (port: number): Promise<Opened> => {
  const { port: bound, taken, close } = await startMqttReceiver(() => 'take', { port })
  return { port: bound, texts: () => taken.map(({ payload }) => payload), close }
}
const OPEN: Readonly<Record<string, (port: number) => Promise<Opened>>> = {
  hook: overHttp,
  chat: overHttp,
  phone: overHttp,
  am: overHttp,
  mail: overSmtp,
  bus: overMqtt,
}
const configOf = (ports: Readonly<Record<string, number>>) => `
- { type: webhook, name: hook, url: "http://127.0.0.1:${ports['hook']}/", secret: "a secret of some length" }
- { type: slack, name: chat, url: "http://127.0.0.1:${ports['chat']}/" }
- { type: ntfy, name: phone, url: "http://127.0.0.1:${ports['phone']}/", topic: pumps }
- { type: alertmanager, name: am, url: "http://127.0.0.1:${ports['am']}/" }
- { type: email, name: mail, host: 127.0.0.1, port: ${ports['mail']}, security: none, from: a@example.org, to: [b@example.org] }
- { type: mqtt, name: bus, url: "mqtt://127.0.0.1:${ports['bus']}" }
`

test('down for a while, then back', async () => {
  const names = Object.keys(OPEN)
  const ports: Record<string, number> = {}
  /** By receiver, over both of its lives. */
  const lives: Record<string, Opened[]> = {}
  const open = async () => {
    for (const name of names) {
      const opened = await OPEN[name]?.(ports[name] ?? 0)
      if (opened === undefined) throw new Error(name)
      ports[name] = opened.port
      lives[name] = [...(lives[name] ?? []), opened]
    }
  }
  await open()
  const notifiers = createNotifiers(parseConfig('x', configOf(ports), notifiersSchema, {}), { clock: systemClock, log })
  const outbox = createOutbox(notifiers, { clock: systemClock, log, metrics: createMetrics('test') })
  const state = startOutbox()
  await outbox.start(AbortSignal.timeout(1_000))
  undo.push(() => outbox.stop(AbortSignal.abort()))
  const pass = async (durationMs: number, isOver = () => false) => {
    const untilMs = systemClock.monotonicMs() + durationMs
    while (systemClock.monotonicMs() < untilMs && !isOver()) {
      for (const one of outbox.takeSettled()) settle(state, one)
      outbox.offer(JSON.parse(JSON.stringify(state)))
      await systemClock.sleep(20)
    }
  }
  const tell = (from: number, to: 'firing' | 'resolved') => {
    for (let i = from; i < from + EPISODES; i++)
      enqueueAll(state, [exampleTransition({ episode: `episode${i}x`, state: to, atMs: systemClock.wallMs() })], names)
  }
  const isEmpty = () => Object.keys(state.queues).length === 0
  tell(0, 'firing')
  await pass(20_000, isEmpty)
  for (const name of names) await lives[name]?.[0]?.close()
  tell(0, 'resolved')
  tell(EPISODES, 'firing')
  await pass(DOWN_MS)
  expect(names.map((name) => state.queues[name]?.length)).toEqual(names.map(() => 2 * EPISODES))
  await open()
  for (const name of names) undo.push(() => lives[name]?.[1]?.close())
  await pass(40_000, isEmpty)
  const count = 3 * EPISODES
  for (const name of names) expect(state.counts[name]).toMatchObject({ delivered: count, undeliverable: 0 })
  const keys = [...Array(2 * EPISODES).keys()].flatMap((i) => [`episode${i}x/firing`, `episode${i}x/resolved`])
  for (const name of names) {
    const texts = lives[name]?.flatMap((life) => life.texts()) ?? []
    const told = texts.map((text) => keys.find((key) => text.includes(key)))
    expect(new Set(told).size, name).toBe(count)
    expect(told.length, name).toBe(count)
    for (let i = 0; i < EPISODES; i++)
      expect(told.indexOf(`episode${i}x/firing`)).toBeLessThan(told.indexOf(`episode${i}x/resolved`))
  }
}, 120_000)

test('a test notification says what each receiver answered, or why it was not reached', async () => {
  const ports: Record<string, number> = {}
  const opened: Record<string, Opened> = {}
  for (const [name, open] of Object.entries(OPEN)) {
    const one = await open(0)
    opened[name] = one
    ports[name] = one.port
  }
  const configs = parseConfig('x', `- { type: log, name: journal }${configOf(ports)}`, notifiersSchema, {})
  const dependencies = { clock: systemClock, log }
  const test_ = () => Promise.all(configs.map((one) => sendTest(one, dependencies, AbortSignal.timeout(30_000))))
  const answers = (all: readonly TestOutcome[]) =>
    Object.fromEntries(all.map(({ receiver, answer }) => [receiver, answer.replace(/\d{4,}|[0-9a-f]{16}/g, 'N')]))
  const delivered = await test_()
  expect(delivered.every((one) => one.delivered)).toBe(true)
  expect(answers(delivered)).toEqual({
    journal: 'written to the log',
    hook: '127.0.0.1:N answered 200',
    chat: '127.0.0.1:N answered 200',
    phone: '127.0.0.1:N answered 200',
    am: '127.0.0.1:N answered 200',
    mail: expect.stringMatching(/^127\.0\.0\.1:N answered 250/),
    bus: '127.0.0.1:N acknowledged tributary/alerts/test/test/test',
  })
  for (const { receiver, key } of delivered.filter(({ type }) => type !== 'log')) {
    expect(opened[receiver]?.texts()).toHaveLength(1)
    expect(opened[receiver]?.texts()[0]).toContain(key)
  }
  for (const one of Object.values(opened)) await one.close()
  const gone = (await test_()).filter(({ type }) => type !== 'log')
  expect(gone.map((one) => one.delivered)).toEqual(Array(6).fill(false))
  for (const { answer } of gone) expect(answer).toMatch(/127\.0\.0\.1:\d+.*ECONNREFUSED/)
})

test('mosquitto: who subscribes later finds the newest state of each topic', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-notifiers-'))
  undo.push(() => rm(folder, { recursive: true, force: true }))
  const broker = await createMosquitto(await findServer('mosquitto'), folder, await freePort(), 20)
  undo.push(() => broker.stop())
  await broker.start()
  const yaml = `[{ type: mqtt, name: bus, url: "${broker.url}", retain: true }]`
  const [config] = parseConfig('x', yaml, notifiersSchema, {})
  if (config === undefined) throw new Error('no config')
  const dependencies = { clock: systemClock, log }
  const [notifier] = createNotifiers([config], dependencies)
  const signal = AbortSignal.timeout(20_000)
  for (const to of ['firing', 'resolved'] as const) await notifier?.send(exampleNotification({ state: to }), signal)
  await notifier?.send(exampleNotification({ device: 'pump-2' }), signal)
  expect(await sendTest(config, dependencies, signal)).toMatchObject({ delivered: true })

  const later = await mqtt.connectAsync(broker.url)
  undo.push(() => later.endAsync(true))
  const found: Record<string, string> = {}
  later.on('message', (topic, payload) => {
    found[topic] = JSON.parse(payload.toString()).state
  })
  await later.subscribeAsync('tributary/alerts/#', { qos: 1 })
  await systemClock.sleep(500)
  const rule = 'vibration.velocity_rms_mm_s.threshold_above_7.1'
  expect(found).toEqual({
    [`tributary/alerts/plant/pump-1/${rule}`]: 'resolved',
    [`tributary/alerts/plant/pump-2/${rule}`]: 'firing',
  })
})
