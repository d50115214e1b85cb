/**
 * People are told of each episode, once, whatever dies on the way; of an old story nobody is told; and of a link that is down once, not
 * once a sensor.
 */
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NotificationPayload } from '@tributary/cloud-processor'
import type { Sample } from '@tributary/edge-agent/testing'
import { readLedgerEvents } from '@tributary/firmware-sim'
import { hashPassword } from '@tributary/gateway'
import { createRandom, systemClock } from '@tributary/runtime'
import {
  type AlertReceiver,
  askJson,
  createAlertReceiver,
  freePort,
  type Pipeline,
  repositoryFolder,
  takeNotifications,
} from '@tributary/stack'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { until } from './harness/run-tributary.ts'
import { bundleAgent, createWaitingAgent } from './harness/waiting-agent.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const SEED = 31
const scenarioFile = (name: string) => join(repositoryFolder, 'e2e', 'scenarios', `${name}.yaml`)
const waitUntil = (wallMs: number) => systemClock.sleep(Math.max(0, wallMs - systemClock.wallMs()))

let people: AlertReceiver
beforeEach(async () => {
  people = createAlertReceiver(undefined, await freePort())
  await people.start()
})
afterEach(() => people.stop())

const heard = (state: NotificationPayload['state']) =>
  people.received.map(({ payload }) => payload).filter((payload) => payload.state === state)
const thresholds = (state: NotificationPayload['state']) =>
  heard(state).filter(({ detector }) => detector.startsWith('threshold'))
const told = (state: NotificationPayload['state']) => heard(state).map(({ rule, device }) => `${rule} of ${device}`)

const KILLS = 10
/** All twenty are over. */
const RUN_MS = 86_000
const DEAF = { fromMs: 12_000, forMs: 60_000 }

test('the processor killed ten times during twenty episodes, the receiver away for a minute: each is told, none twice', {
  timeout: 400_000,
}, async () => {
  const alertRules = { rules: [{ name: 'hot', match: { detector: 'threshold' }, keep_firing_for: '2s' }] }
  const options = { scenarioFile: scenarioFile('alerts'), seed: SEED, alertWebhookUrl: people.url, alertRules }
  await withPipeline(options, async (pipeline) => {
    const startMs = systemClock.wallMs()
    const random = createRandom(SEED)
    const kills = Array.from({ length: KILLS }, () => startMs + 6_000 + random.next() * (RUN_MS - 10_000)).sort(
      (a, b) => a - b,
    )
    const deaf = (async () => {
      await waitUntil(startMs + DEAF.fromMs)
      await people.stop()
      await systemClock.sleep(DEAF.forMs)
      await people.start()
    })()
    for (const killMs of kills) {
      await waitUntil(killMs)
      await pipeline.processor.kill('SIGKILL')
      await pipeline.processor.start(AbortSignal.timeout(60_000))
    }
    await waitUntil(startMs + RUN_MS)
    await deaf
    await expectBalanced(pipeline)
    const labels = (await readLedgerEvents(pipeline.ledgerFolder)).filter((event) => event.type === 'anomaly')
    expect(labels).toHaveLength(20)
    await until(() => thresholds('resolved').length >= labels.length, 'each is over, and people know it', 90_000)

    const found = await takeNotifications(pipeline, people, { mayRepeat: true, signal: AbortSignal.timeout(60_000) })
    expect(found.mistakes, `kills at ${kills.map((ms) => Math.round(ms - startMs))}, seed ${SEED}`).toEqual([])
    const [firing, resolved] = [thresholds('firing'), thresholds('resolved')]
    expect(firing).toHaveLength(labels.length)
    expect(resolved.map(({ episode }) => episode).toSorted()).toEqual(firing.map(({ episode }) => episode).toSorted())
    for (const { device, fromMs, untilMs } of labels)
      expect(
        firing.filter(
          (one) => one.device === device && Date.parse(one.startedAt) >= fromMs && Date.parse(one.startedAt) < untilMs,
        ),
        `${device} at ${new Date(fromMs).toISOString()}`,
      ).toHaveLength(1)
  })
})

const HOUR_MS = 3_600_000
/** Over the contract's 35 °C three times, frozen for five minutes, and silent for two. */
const anHour = (device: string, fromMs: number): Sample[] =>
  Array.from({ length: 3_600 }, (_, i) => i)
    .filter((i) => i < 3_000 || i >= 3_120)
    .map((i) => {
      const isHot = i % 1_000 > 800 && i % 1_000 < 830
      const temperature = i >= 2_300 && i < 2_600 ? 21 : (isHot ? 40 : 20) + ((i * 7_919) % 100) / 100
      const values = [temperature, 45 + ((i * 104_729) % 30) / 10, 1_013, i + 1]
      const names = ['temperature_c', 'humidity_percent', 'pressure_hpa', 'sequence']
      return { device, kind: 'climate', measuredAtMs: fromMs + i * 1_000, sequence: i + 1, names, values }
    })

test("an hour's backlog with anomalies in it pages nobody, and is recorded", { timeout: 240_000 }, async () => {
  const options = { seed: SEED, alertWebhookUrl: people.url }
  await withPipeline(options, async (pipeline, folder) => {
    const [name, password] = ['pi-in-a-drawer', crypto.randomUUID()]
    await appendFile(join(folder, 'agents.passwd'), `${name}:${hashPassword(password)}\n`)
    await pipeline.gateway.stop()
    await pipeline.gateway.start(AbortSignal.timeout(60_000))
    const agent = await createWaitingAgent({
      ...{ name, folder, password, samples: anHour },
      spoolFolder: join(folder, 'drawer-spool'),
      bundle: await bundleAgent(join(folder, 'bundle')),
      gatewayPort: pipeline.urls.gatewayMqttPort,
      fromMs: systemClock.wallMs() - HOUR_MS - 60_000,
    })
    await agent.process.start()
    try {
      await until(async () => (await countSamples(pipeline, agent.device)) === 3_480, 'the backlog is stored', 120_000)
      // What is told leaves with a checkpoint.
      await systemClock.sleep(5_000)
    } finally {
      await agent.process.stop()
    }
    expect([...told('firing'), ...told('resolved')].filter((one) => one.includes(agent.device))).toEqual([])
    const [anomalies] = await pipeline.query(
      `SELECT count("score") FROM "anomaly" WHERE "device" = '${agent.device}' AND "detector" = 'threshold_above_35'`,
    )
    expect(anomalies?.values[0]?.[1]).toBe(3)
    const [alerts] = await pipeline.query(
      `SELECT count("state") FROM "alert" WHERE "device" = '${agent.device}' AND "state" = 'historical' AND "detector" = 'threshold_above_35'`,
    )
    expect(alerts?.values[0]?.[1]).toBe(3)
    const fired = await pipeline.query(
      `SELECT * FROM "alert" WHERE "device" = '${agent.device}' AND "state" = 'firing'`,
    )
    expect(fired).toEqual([])
  })
})

async function countSamples({ query }: Pipeline, device: string): Promise<number> {
  const [series] = await query(`SELECT count("sequence") FROM "climate" WHERE "device" = '${device}'`)
  return Number(series?.values[0]?.[1] ?? 0)
}

test('an agent, then the gateway is unplugged: one alert each, none of a sensor', { timeout: 300_000 }, async () => {
  const options = {
    ...{ scenarioFile: scenarioFile('unplugged'), seed: SEED, alertWebhookUrl: people.url },
    alertRules: { unreachable: { after: '15s' } },
  }
  await withPipeline(options, async (pipeline) => {
    await until(() => told('firing').length > 0, 'the outage of agent-2 is told', 60_000)
    expect(told('firing')).toEqual(['agent_unreachable of agent-2'])
    await until(() => told('resolved').length > 0, 'agent-2 is back', 60_000)
    await until(async () => (await backlogOf(pipeline)) === 0, 'its backlog has gone', 60_000)

    await pipeline.gateway.kill('SIGKILL')
    // It is waited for five times as long as is usual between two words of it, a report of its health each 10 s.
    await until(() => told('firing').length > 1, 'the outage of the gateway is told', 120_000)
    await systemClock.sleep(10_000)
    expect(told('firing').slice(1)).toEqual(['gateway_unreachable of gateway-1'])
    await pipeline.gateway.start(AbortSignal.timeout(60_000))
    await until(() => told('resolved').length > 1, 'the gateway is back', 60_000)
    await until(async () => (await backlogOf(pipeline)) === 0, 'the backlogs have gone', 60_000)
    // As long as it would take to call somebody silent or unreachable.
    await systemClock.sleep(25_000)
    expect(told('firing')).toEqual(['agent_unreachable of agent-2', 'gateway_unreachable of gateway-1'])
    expect(told('resolved')).toEqual(told('firing'))
  })
})

async function backlogOf({ urls }: Pipeline): Promise<number> {
  const waiting = await Promise.all(urls.agents.map((url) => askJson<{ backlogBatches: number }>(`${url}/status`)))
  return waiting.reduce((sum, status) => sum + Math.max(0, (status?.backlogBatches ?? 100) - 1), 0)
}
