/** Alerts from agent to people and back, between real servers: links, silences, acknowledgement, feedback, tests of receivers, rules that change. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeBatch, type OperatorRequest, partitionOf, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startReceiver } from './notifiers/receiver.ts'
import { ALL_PARTITIONS, askPartitions, gatherAlerts, testReceiver } from './operator-client.ts'
import { CONTRACTS, type Surroundings, startSurroundings } from './processor-harness.ts'
import { batchOf, blockOf } from './testing.ts'

const SITE = 'plant'
const PARTITION = partitionOf(SITE)
const WAIT = { timeout: 40_000, interval: 100 }
const asking = { clock: systemClock, patienceMs: 5_000 }
const signal = new AbortController().signal
let all: Surroundings
let receiver: Awaited<ReturnType<typeof startReceiver>>
let sequence = 0
let readingsBefore = 0

beforeAll(async () => {
  receiver = await startReceiver(() => ({ status: 204 }))
  all = await startSurroundings('operator', async (folder) => {
    await writeFile(join(folder, 'alerts.yaml'), 'rules: []\nunreachable: { after: 10s }\n')
    return `contracts: "${CONTRACTS}"
alerts: alerts.yaml
checkpoint: { folder: state }
notifiers: [{ name: people, type: webhook, url: "${receiver.url}" }]
`
  })
}, 60_000)
afterAll(async () => {
  await all?.stop()
  await receiver?.close()
})

async function send(temperature: number, device = 'probe-1'): Promise<void> {
  sequence += 1
  const nowMs = systemClock.wallMs()
  const blocks = [
    blockOf(device, 'climate', [
      { timeMs: Math.floor(nowMs), values: { temperature_c: temperature, humidity_percent: 40 } },
    ]),
  ]
  const batch = batchOf({ agent: 'pi-1', sequence, readingsBefore, completeThroughMs: Math.floor(nowMs) + 1, blocks })
  readingsBefore = batch.header.readingsTotal
  await all.client.publish(telemetrySubject(SITE, 'pi-1'), encodeBatch(batch))
}
const told = () => receiver.taken.map(({ body }) => JSON.parse(body) as { rule: string; state: string; device: string })
const seen = () => told().map(({ rule, state }) => `${state} ${rule}`)
const open = async () => (await gatherAlerts(all.connection, asking, signal)).get(PARTITION)
const ask = async (partitions: readonly number[], asked: object) => {
  const request = {
    request: `test-${systemClock.monotonicMs().toString(36).replace('.', '')}`,
    by: 'ann',
    comment: 'seen',
    ...asked,
  }
  return askPartitions(all.connection, partitions, request as OperatorRequest, asking, signal)
}
const states = async () => {
  const series = await all.query('SELECT "state", "by", "held" FROM "alert" ORDER BY time', signal)
  return series.flatMap(({ values }) =>
    values.map(([, state, by, held]) => [state, by, held].filter(Boolean).join(' ')),
  )
}

test('an alert is listed, acknowledged, recorded; a silence keeps the next from people; a receiver can be tested', async () => {
  await send(20)
  await send(50)
  await expect.poll(seen, WAIT).toContain('firing climate.temperature_c.threshold_above_35')
  const listed = (await open())?.alerts.find(({ detector }) => detector === 'threshold_above_35')
  expect(listed).toMatchObject({ state: 'firing', device: 'probe-1', told: ['people'], held: null, acknowledged: null })
  const answers = await ask([PARTITION], { action: 'acknowledge', episode: listed?.episode })
  expect([...answers.values()]).toMatchObject([{ outcome: 'done', partition: PARTITION }])
  expect((await open())?.alerts.find(({ episode }) => episode === listed?.episode)?.acknowledged).toMatchObject({
    by: 'ann',
  })
  await expect.poll(states, WAIT).toContain('acknowledged ann')
  // As the dashboards ask for what is open.
  const [series] = await all.query(
    `SELECT count("state") AS "value" FROM (SELECT last("state") AS "state" FROM "alert" WHERE "device" = 'probe-1' GROUP BY "site", "device", "rule", "field", "detector") WHERE "state" =~ /^(firing|acknowledged|escalated)$/`,
  )
  expect(series?.values[0]?.[1]).toBe(1)

  const silenced = await ask(ALL_PARTITIONS, {
    action: 'silence',
    id: 'abcdef01',
    match: { device: ['pi-1'] },
    forMs: 3_600_000,
  })
  expect([...silenced.values()].filter(({ outcome }) => outcome === 'done')).toHaveLength(ALL_PARTITIONS.length)
  expect((await open())?.silences).toMatchObject([{ id: 'abcdef01', by: 'ann', comment: 'seen' }])

  expect(await testReceiver(all.connection, 'people')).toMatchObject({ isKnown: true, processor: 'processor-1' })
  expect(told().at(-1)).toMatchObject({ rule: 'test', reason: 'test' })
  expect(await testReceiver(all.connection, 'nobody')).toMatchObject({ isKnown: false, receivers: ['people'] })
}, 60_000)

test('an agent that falls silent is unreachable although nothing comes any more; the silence holds it back, its end tells it', async () => {
  const alert = async () => (await open())?.alerts.find(({ rule }) => rule === 'agent_unreachable')
  await expect.poll(alert, WAIT).toMatchObject({ device: 'pi-1', told: [], held: { why: 'silenced', by: 'abcdef01' } })
  expect(seen()).not.toContain('firing agent_unreachable')
  await ask(ALL_PARTITIONS, { action: 'end_silence', id: 'abcdef01' })
  await expect.poll(seen, WAIT).toContain('firing agent_unreachable')
  // Over a restart people are told nothing twice.
  await all.processor.stop()
  await all.processor.start()
  await send(20)
  await expect.poll(seen, WAIT).toContain('resolved agent_unreachable')
  expect(new Set(seen()).size).toBe(seen().length)
}, 90_000)

test('rules that change are in force without a restart; a broken file changes nothing', async () => {
  const file = join(all.folder, 'alerts.yaml')
  await writeFile(file, 'rules: [{ name: hot, match: { kind: climate }, severity: perhaps }]\n')
  const status = async () => (await (await fetch(`${all.admin}/status`)).json()) as { contracts: { fault?: string } }
  await expect.poll(async () => JSON.stringify(await status()), WAIT).toContain('rules[0].severity')
  await writeFile(
    file,
    'rules: [{ name: hot, match: { kind: climate, detector: threshold }, keep_firing_for: 0s }]\nunreachable: { after: 1h }\n',
  )
  await expect
    .poll(() => readFile(join(all.folder, 'processor.log'), 'utf8'), WAIT)
    .toContain('from here on by other contracts')
  await send(20, 'probe-2')
  await send(50, 'probe-2')
  await expect.poll(seen, WAIT).toContain('firing hot')
}, 60_000)
