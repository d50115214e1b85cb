/**
 * The gateway is away for longer than the agents' spools have room: readings give way to windows of 10 s, then of a minute, then
 * go. What is left is exact, and what went is counted.
 */
import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Contract, readContracts } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { type AccountRow, askJson, type ManagedProcess, type Pipeline, type TimedSample } from '@tributary/stack'
import mqtt from 'mqtt'
import { expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { until } from './harness/run-tributary.ts'
import { compareWindows, type Measured, measuredByDevices } from './harness/windows-of-ledger.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const RATE = 2_000
const waitUntil = (wallMs: number) => systemClock.sleep(Math.max(0, wallMs - systemClock.wallMs()))
const start = (process: ManagedProcess) => process.start(AbortSignal.timeout(60_000))

/** The smallest that the config allows: four segments of two of the largest batches. */
const SPOOL = { budget: '8MiB', segment: '2MiB' }
const SEGMENT_BYTES = 2 * 1024 ** 2
/** Long texts fill a spool within seconds where numbers would take hours. */
const TEXT_BYTES = 750
const TEXTS_PER_MESSAGE = 64
const TEXTS_IN_FLIGHT = 8
const TEXTS_KIND = 'gateway_health'
/** More than what may have been on its way. */
const SHED_MIN = 4_000
const FILL_MS_MAX = 60_000

/** Windows of such texts take seconds to read where two cores do everything; at the default of a tenth they would take minutes. */
const REPAIR_SHARE = 0.5
const CLEAN_MS_MAX = 120_000

const WINDOW_MS = 10_000
const MINUTE_MS = 60_000
/** The minute in which readings were rolled up ends so long after the beginning of the outage or later. */
const FIRST_MS = 4_000
/** Batches of which the gateway lets go: some of each agent. */
const TRIMMED_MIN = 20
/** Behind the newest reading a window may still be open. */
const OPEN_MS = 3_000

/** An agent with a spool too small for the outage, and with a device that sends texts. */
interface NarrowAgent {
  readonly name: string
  readonly url: string
  readonly process: ManagedProcess
  readonly topic: string
  readonly devices: readonly string[]
  /** What was sent, and taken. */
  readonly texts: Measured & { readonly samples: TimedSample[] }
}

interface InputConfig {
  name: string
  type: string
  url?: string
  device?: string
  topics?: { device: string }[]
}

/** The agents get small spools and one more device each, repair more of the database's time. @returns with the broker of the devices */
async function narrow(
  { agents, processor, urls, contractsFolder }: Pipeline,
  folder: string,
): Promise<{ broker: string; narrowed: NarrowAgent[] }> {
  const configOf = async (name: string) => parse(await readFile(join(folder, `${name}.yaml`), 'utf8'))
  const writeConfig = (name: string, config: unknown) => writeFile(join(folder, `${name}.yaml`), stringify(config))
  await processor.stop()
  await writeConfig('processor', { ...(await configOf('processor')), repair: { share: REPAIR_SHARE } })
  await start(processor)
  const configs = await Promise.all(agents.map(({ name }) => configOf(name)))
  const contract = (await readContracts(contractsFolder)).get(TEXTS_KIND) as Contract
  const broker = configs.flatMap(({ inputs }) => inputs as InputConfig[]).find(({ type }) => type === 'mqtt')
    ?.url as string
  const narrowed = await Promise.all(
    agents.map(async (process, i): Promise<NarrowAgent> => {
      const { name } = process
      const [config, topic, device] = [configs[i], `texts/${name}`, `texts-${name}`]
      const inputs = config.inputs as InputConfig[]
      const devices = inputs.flatMap((input) => [
        ...(input.type === 'serial' ? [input.device as string] : []),
        ...(input.topics ?? []).map((t) => t.device),
      ])
      const topics = [{ pattern: topic, device, kind: TEXTS_KIND, payload: 'json' }]
      const more = { name: 'texts', type: 'mqtt', url: broker, topics }
      await process.stop()
      await writeConfig(name, { ...config, spool: { ...config.spool, ...SPOOL }, inputs: [...inputs, more] })
      await start(process)
      const texts = { device, contract, readings: 2, identity: 'batches_received_total', samples: [] }
      return { name, url: urls.agents[i] as string, process, topic, devices, texts }
    }),
  )
  return { broker, narrowed }
}

/** Sends texts until the agent has enough of them. */
async function fillUntil(client: mqtt.MqttClient, agent: NarrowAgent, isEnough: () => Promise<boolean>): Promise<void> {
  const { samples } = agent.texts
  const untilMs = systemClock.monotonicMs() + FILL_MS_MAX
  let newestMs = samples.at(-1)?.timeMs ?? 0
  while (!(await isEnough())) {
    if (systemClock.monotonicMs() > untilMs)
      throw new Error(`${agent.name} still has room after ${samples.length} texts`)
    const messages = Array.from({ length: TEXTS_IN_FLIGHT }, () =>
      Array.from({ length: TEXTS_PER_MESSAGE }, () => {
        newestMs = Math.max(newestMs + 1, Math.floor(systemClock.wallMs()))
        const values = { batches_received_total: samples.length, version: randomBytes(TEXT_BYTES).toString('base64') }
        samples.push({ timeMs: newestMs, values: new Map<string, string | number>(Object.entries(values)) })
        return { time_ms: newestMs, ...values }
      }),
    )
    await Promise.all(messages.map((message) => client.publishAsync(agent.topic, JSON.stringify(message), { qos: 1 })))
    // Each has a millisecond of its own.
    await waitUntil(newestMs)
  }
}

/** Until the agent has rolled up to windows of a minute, and nothing more. */
async function fillModestly(client: mqtt.MqttClient, agent: NarrowAgent): Promise<void> {
  await fillUntil(client, agent, async () => ((await statusOf(agent))?.spoolBytesUsed ?? 0) > SEGMENT_BYTES)
  // Not all that is rolled up shares its windows with what goes on to windows of a minute.
  await waitUntil(Math.ceil(systemClock.wallMs() / WINDOW_MS) * WINDOW_MS + FIRST_MS / 2)
  await fillUntil(client, agent, async () => (await givenUpBy(agent, 'rolled_up_1m')) > 0)
}

/** The gateway is gone meanwhile; afterwards the agents have sent all. @returns when the minute in which it went ends */
async function outlast(
  { gateway }: Pipeline,
  agents: readonly NarrowAgent[],
  meanwhile: () => Promise<unknown>,
): Promise<number> {
  // What may be on its way would be shed: the first agent is to have nothing of it. Directly behind an acknowledgement the next batch is furthest off.
  const isIdle = async () => (await statusOf(agents[0] as NarrowAgent))?.window.inFlight === 0
  for (const wanted of [false, true]) while ((await isIdle()) !== wanted) await systemClock.sleep(5)
  await gateway.kill('SIGKILL')
  const endsMs = Math.ceil((systemClock.wallMs() + FIRST_MS) / MINUTE_MS) * MINUTE_MS
  await meanwhile()
  await start(gateway)
  for (const agent of agents)
    await until(async () => {
      const status = await statusOf(agent)
      return status?.connected === true && status.backlogBatches <= 1
    }, `${agent.name} has sent its backlog`)
  return endsMs
}

async function givenUpBy({ url }: NarrowAgent, reason: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = new RegExp(`^tributary_agent_given_up_readings_total\\{[^}]*reason="${reason}"[^}]*\\} (\\d+)`, 'm')
  return Number(line.exec(text)?.[1] ?? 0)
}

interface AgentAnswer {
  readonly spoolBytesUsed: number
  readonly connected: boolean
  readonly backlogBatches: number
  readonly window: { readonly inFlight: number }
}
const statusOf = ({ url }: NarrowAgent) => askJson<AgentAnswer>(`${url}/status`)

interface OwnAccount {
  readonly agents: readonly (AccountRow & {
    readonly agent: string
    readonly shedReasons: readonly { readonly reason: string; readonly readings: number }[]
    readonly epochs: readonly { readonly recovered: number; readonly inDoubt: boolean }[]
  })[]
}
interface GatewayAnswer {
  readonly spool: { readonly trimmedThrough: number }
}
interface RepairAnswer {
  readonly repair: { readonly waiting: number }
}
/** @throws with what the processor says of its repairs */
async function untilClean({ urls }: Pipeline): Promise<void> {
  let repair: RepairAnswer['repair'] | undefined
  const isClean = async () => {
    repair = (await askJson<RepairAnswer>(`${urls.processor}/status`))?.repair
    return repair?.waiting === 0
  }
  await until(isClean, 'no window waits to be recomputed', CLEAN_MS_MAX).catch((error: unknown) => {
    throw new Error(`repairs: ${JSON.stringify(repair)}`, { cause: error })
  })
}

/** Readings of all devices of an agent, by what the windows of the store know of them. @throws when one is not what was measured */
async function windowsOf(pipeline: Pipeline, agent: NarrowAgent, mayHaveParts = false) {
  const measured = await measuredByDevices(pipeline)
  const endedMs = Math.max(...measured.map(({ samples }) => samples.at(-1)?.timeMs ?? 0)) - OPEN_MS
  const sum = { measured: 0, gone: 0, rolledUp10s: 0, coarser: 0, shed: 0, open10s: 0, open1m: 0 }
  const rebuilt = { '10s': 0, '1m': 0 }
  for (const device of [...measured.filter((each) => agent.devices.includes(each.device)), agent.texts]) {
    const found = await compareWindows(pipeline.query, device, endedMs, mayHaveParts)
    expect(found.wrong.slice(0, 5)).toEqual([])
    sum.measured += found.measured * device.readings
    sum.gone += (found.measured - found.stored) * device.readings
    sum.open10s += found.open['10s'] * device.readings
    sum.rolledUp10s += (found.measured - found.stored - found.lacking['10s']) * device.readings
    sum.coarser += found.lacking['10s'] * device.readings
    sum.shed += found.lacking['1m'] * device.readings
    sum.open1m += found.open['1m'] * device.readings
    for (const width of ['10s', '1m'] as const) rebuilt[width] += found.rebuilt[width]
  }
  return { sum, rebuilt }
}

/** Windows lack what the account says that they must lack, and are exact otherwise. @returns how many of each agent are exact */
async function expectWindowsAndAccount(pipeline: Pipeline, agents: readonly NarrowAgent[]) {
  const account = await askJson<OwnAccount>(`${pipeline.urls.processor}/account`)
  const all = []
  for (const agent of agents) {
    const own = account?.agents.find(({ agent: name }) => name === agent.name)
    const shedFor = (reason: string) => own?.shedReasons.find((shed) => shed.reason === reason)?.readings ?? 0
    const { sum, rebuilt } = await windowsOf(pipeline, agent)
    all.push(rebuilt)
    expect(sum.open10s, 'the last readings were not given up').toBe(0)
    // What the agent says of itself beside: its health, the host.
    const beside = (own?.produced ?? 0) - sum.measured
    const expectAbout = (what: string, said: number, least: number, most = least) => {
      expect(said, `${agent.name}: ${what}`).toBeGreaterThanOrEqual(least)
      expect(said, `${agent.name}: ${what}`).toBeLessThanOrEqual(most + beside)
    }
    expectAbout('rolled up to 10 s', shedFor('rolled_up_10s'), sum.rolledUp10s)
    expectAbout('rolled up to 1 min, or shed', shedFor('rolled_up_1m') + shedFor('shed'), sum.coarser)
    expectAbout('shed', shedFor('shed'), sum.shed, sum.shed + sum.open1m)
  }
  return all
}

test(
  'an outage outlasts the spools: the account balances, and every window whose readings are not shed is exact',
  { timeout: 300_000 },
  () =>
    withPipeline({ ratePerSecond: RATE, seed: 41 }, async (pipeline, folder) => {
      const { broker, narrowed } = await narrow(pipeline, folder)
      const [modest, heavy] = narrowed as [NarrowAgent, NarrowAgent]
      const client = await mqtt.connectAsync(broker)
      await systemClock.sleep(2_000)
      const endsMs = await outlast(pipeline, narrowed, () =>
        Promise.all([
          fillModestly(client, modest),
          fillUntil(client, heavy, async () => (await givenUpBy(heavy, 'shed')) > SHED_MIN),
        ]),
      )
      await client.endAsync()
      await waitUntil(endsMs + OPEN_MS + 1_000)
      await expectBalanced(pipeline)
      // What a counter counted beside readings that were rolled up is asked of the store; nothing else waits to be recomputed.
      await untilClean(pipeline)

      const [rebuilt] = await expectWindowsAndAccount(pipeline, narrowed)
      expect(rebuilt?.['10s']).toBeGreaterThanOrEqual(modest.devices.length)
      expect(rebuilt?.['1m']).toBeGreaterThanOrEqual(modest.devices.length)
    }),
)

test(
  'the state of the processor is lost during such an outage: the account balances, no window shrinks, and all are exact once they are recomputed',
  { timeout: 300_000 },
  () =>
    withPipeline({ ratePerSecond: RATE, seed: 42 }, async (pipeline, folder) => {
      const { broker, narrowed } = await narrow(pipeline, folder)
      const [modest] = narrowed as [NarrowAgent]
      const client = await mqtt.connectAsync(broker)
      // Windows are written, and the gateway's disk knows that readings of them were stored.
      await until(async () => (await countsOf(pipeline)).size > 0, 'windows')
      const trimmed = async () =>
        (await askJson<GatewayAnswer>(`${pipeline.urls.gateway}/status`))?.spool.trimmedThrough
      await until(async () => ((await trimmed()) ?? 0) > TRIMMED_MIN, 'trimmed')
      let before = new Map<string, number>()
      await outlast(pipeline, narrowed, async () => {
        await systemClock.sleep(1_000)
        await pipeline.processor.kill('SIGKILL')
        await rm(join(folder, 'checkpoints'), { recursive: true })
        before = await countsOf(pipeline)
        await Promise.all([start(pipeline.processor), fillModestly(client, modest)])
      })
      await client.endAsync()
      await systemClock.sleep(5_000)
      await expectBalanced(pipeline)
      await untilClean(pipeline)

      const after = await countsOf(pipeline)
      expect(before.size).toBeGreaterThan(0)
      expect([...before].filter(([key, count]) => (after.get(key) ?? 0) < count)).toEqual([])
      const account = await askJson<OwnAccount>(`${pipeline.urls.processor}/account`)
      const own = account?.agents.find(({ agent }) => agent === modest.name)
      expect(own?.epochs.reduce((sum, { recovered }) => sum + recovered, 0)).toBeGreaterThan(0)
      expect(own?.epochs.some(({ inDoubt }) => inDoubt)).toBe(false)
      const { sum, rebuilt } = await windowsOf(pipeline, modest, true)
      expect(own?.shed).toBeGreaterThanOrEqual(sum.gone)
      expect(own?.shed).toBeLessThanOrEqual(sum.gone + (own?.produced ?? 0) - sum.measured)
      expect(rebuilt['10s']).toBeGreaterThanOrEqual(modest.devices.length)
    }),
)

/** Window and device → readings in it. */
async function countsOf({ query }: Pipeline): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const text = `SELECT * FROM "rollup"./^(vibration|climate|power|tank)_(10s|1m)$/ GROUP BY *`
  for (const { name, tags, columns, values } of await query(text, AbortSignal.timeout(30_000)))
    for (const row of values)
      counts.set(
        `${name} ${tags?.['device']} ${tags?.['part'] ?? ''} ${row[0]}`,
        Number(row[columns.indexOf('sequence_count')]),
      )
  return counts
}
