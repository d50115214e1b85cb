/** With Debian's Alertmanager, which forgets what it is not told again, and everything when it is restarted. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { createAlertmanager, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterEach, expect, test } from 'vitest'
import { alertmanagerNotifier } from './alertmanager.ts'
import { enqueueAll, exampleTransition } from './example-notification.ts'
import { createOutbox, type Outbox } from './outbox.ts'
import { type OutboxState, settle, startOutbox } from './outbox-state.ts'
import { type Receiver, startReceiver } from './receiver.ts'

const RESOLVE_AFTER_S = 8
const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const one of undo.splice(0).reverse()) await one()
})

interface Told {
  readonly status: 'firing' | 'resolved'
  readonly alertname: string
  readonly summary: string
}

async function start(): Promise<{ server: ManagedProcess & { url: string }; people: Receiver }> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-alertmanager-'))
  undo.push(() => rm(folder, { recursive: true, force: true }))
  const people = await startReceiver(() => ({ status: 200 }))
  undo.push(people.close)
  const server = await createAlertmanager(await findServer('prometheus-alertmanager'), folder, {
    port: await freePort(),
    webhookUrl: people.url,
    resolveAfter: `${RESOLVE_AFTER_S}s`,
  })
  undo.push(() => server.stop())
  await server.start()
  return { server, people }
}

/** What people hear from Alertmanager, in order. */
const told = (people: Receiver): Told[] =>
  people.taken.flatMap(({ body }) => {
    const { alerts } = JSON.parse(body) as {
      alerts: { status: Told['status']; labels: Record<string, string>; annotations: Record<string, string> }[]
    }
    return alerts.map(({ status, labels, annotations }) => ({
      status,
      alertname: labels['alertname'] ?? '',
      summary: annotations['summary'] ?? '',
    }))
  })
const statesOf = (people: Receiver, alertname: string) =>
  told(people).flatMap((one) => (one.alertname === alertname ? [one.status] : []))

async function active(url: string): Promise<Record<string, string>[]> {
  const answer = await fetch(`${url}/api/v2/alerts?active=true`)
  const alerts = (await answer.json()) as { labels: Record<string, string>; status: { state: string } }[]
  return alerts.filter(({ status }) => status.state === 'active').map(({ labels }) => labels)
}

async function until(what: string, isDone: () => Promise<boolean> | boolean): Promise<void> {
  const untilMs = systemClock.monotonicMs() + 20_000
  while (!(await isDone())) {
    if (systemClock.monotonicMs() > untilMs) throw new Error(`never: ${what}`)
    await systemClock.sleep(50)
  }
}

/** The outbox in a loop, as the processor has it: settles, saves, offers. */
async function runOutbox(url: string, repeatEveryMs: number): Promise<{ state: OutboxState; outbox: Outbox }> {
  const options = { name: 'am', url, timeoutMs: 1_000, labels: { team: 'pumps' }, repeatEveryMs }
  const log = createLogger('test', 'silent')
  const outbox = createOutbox([alertmanagerNotifier(options, { clock: systemClock })], {
    clock: systemClock,
    log,
    metrics: createMetrics('test'),
    backoff: { firstMs: 50, maxMs: 500 },
  })
  const state = startOutbox()
  const stopping = new AbortController()
  await outbox.start(AbortSignal.timeout(1_000))
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      for (const one of outbox.takeSettled()) settle(state, one)
      outbox.offer(JSON.parse(JSON.stringify(state)))
      await systemClock.sleep(20)
    }
  })()
  undo.push(async () => {
    stopping.abort()
    await loop
    await outbox.stop(AbortSignal.abort())
  })
  return { state, outbox }
}

const episode = (rule: string, state: 'firing' | 'resolved' = 'firing') =>
  exampleTransition({
    episode: rule,
    rule,
    state,
    startedAtMs: systemClock.wallMs() - 1_000,
    atMs: state === 'firing' ? systemClock.wallMs() - 1_000 : systemClock.wallMs(),
  })

test('an alert stands as long as it goes on, through a restart of Alertmanager, and ends when it ends', async () => {
  const { server, people } = await start()
  const { state } = await runOutbox(server.url, 1_000)
  enqueueAll(state, [episode('vibration-high'), episode('pump-silent')], ['am'])
  await until('both are active', async () => (await active(server.url)).length === 2)
  expect((await active(server.url)).find(({ alertname }) => alertname === 'vibration-high')).toEqual({
    alertname: 'vibration-high',
    severity: 'critical',
    site: 'plant',
    device: 'pump-1',
    kind: 'vibration',
    field: 'velocity_rms_mm_s',
    detector: 'threshold_above_7.1',
    team: 'pumps',
  })
  await systemClock.sleep((RESOLVE_AFTER_S + 3) * 1_000)
  expect((await active(server.url)).length).toBe(2)
  expect(state.standing?.['am']?.length).toBe(2)

  await server.stop()
  enqueueAll(state, [episode('pump-silent', 'resolved')], ['am'])
  await systemClock.sleep(1_000)
  await server.start()
  await until('what goes on is active again', async () => (await active(server.url)).length === 1)
  enqueueAll(state, [episode('vibration-high', 'resolved')], ['am'])
  await until('nothing is active', async () => (await active(server.url)).length === 0)
  await until('people heard of the end', () => statesOf(people, 'vibration-high').includes('resolved'))
  expect(state.standing).toEqual({})

  await systemClock.sleep(2_500)
  expect(statesOf(people, 'vibration-high')).toEqual(['firing', 'resolved'])
  expect(statesOf(people, 'pump-silent')[0]).toBe('firing')
  expect(told(people)[0]?.summary).toMatch(/^CRITICAL pump-1 at plant: Vibration velocity/)
  expect((await active(server.url)).length).toBe(0)
})

test('without a word in between Alertmanager takes it for over: that is why it is told again', async () => {
  const { server, people } = await start()
  const { state } = await runOutbox(server.url, 600_000)
  enqueueAll(state, [episode('vibration-high')], ['am'])
  await until('it is over without an end', () => statesOf(people, 'vibration-high').includes('resolved'))
  expect(state.standing?.['am']?.length).toBe(1)
})
