import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type JetStreamClient, jetstreamManager } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import {
  DEAD_LETTER_STREAM,
  type DeviceBlock,
  encodeBatch,
  parseControlMessage,
  storedWatermarks,
  TELEMETRY_STREAM,
  telemetrySubject,
} from '@tributary/protocol'
import { createRandom, systemClock } from '@tributary/runtime'
import { createManagedProcess, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Account } from './account.ts'
import { readDeadLetters } from './dead-letter-queue.ts'
import type { InfluxQuery } from './influx-query.ts'
import { CONTRACTS, MAIN, type Surroundings, startSurroundings } from './processor-harness.ts'
import { batchOf, blockOf } from './testing.ts'

const SEED = 20_261

let folder: string
let nats: ManagedProcess & { url: string }
let influx: ManagedProcess & { url: string }
let processor: ManagedProcess
let admin: string
let connection: NatsConnection
let client: JetStreamClient
let query: InfluxQuery

let surroundings: Surroundings | undefined
beforeAll(async () => {
  surroundings = await startSurroundings('processor', async (folder) => {
    await writeFile(join(folder, 'devices.yaml'), 'devices:\n  - { device: tank-9, site: annex, name: Ninth tank }\n')
    return `contracts: ${CONTRACTS}
registry: devices.yaml
checkpoint: { folder: state, interval: 100ms }
notifiers: [{ name: log, type: log }]
`
  })
  ;({ folder, nats, influx, processor, admin, connection, client, query } = surroundings)
})
afterAll(async () => {
  await surroundings?.stop()
})

const START_MS = 1_767_225_600_000
const AGENTS = [
  { site: 'workshop', agent: 'agent-a', device: 'tank-1' },
  { site: 'workshop', agent: 'agent-b', device: 'tank-2' },
  { site: 'harbour', agent: 'agent-c', device: 'tank-3' },
]
const SAMPLES_A_BATCH = 50
/** What device d measured as its sample n: any stored value can be checked from its key. */
const levelAt = (device: string, n: number) => ((n * 7 + device.length * 13 + Number(device.slice(-1))) % 9_000) / 100
const timeOf = (n: number) => START_MS + n * 100

function samplesOf(device: string, sequence: number): DeviceBlock {
  const first = (sequence - 1) * SAMPLES_A_BATCH
  return blockOf(
    device,
    'tank',
    Array.from({ length: SAMPLES_A_BATCH }, (_, i) => ({
      timeMs: timeOf(first + i),
      values: { level_percent: levelAt(device, first + i), sequence: first + i, pump_on: i % 2 === 0 },
    })),
  )
}

const READINGS_A_BATCH = SAMPLES_A_BATCH * 3
const batchFor = ({ agent, device }: (typeof AGENTS)[number], sequence: number) =>
  encodeBatch(
    batchOf({
      agent,
      sequence,
      readingsBefore: (sequence - 1) * READINGS_A_BATCH,
      completeThroughMs: timeOf(sequence * SAMPLES_A_BATCH),
      blocks: [samplesOf(device, sequence)],
    }),
  )

const account = async (): Promise<Account> => (await (await fetch(`${admin}/account`)).json()) as Account
const until = async (what: string, check: () => Promise<boolean>, waitMs = 60_000) => {
  const deadline = systemClock.monotonicMs() + waitMs
  while (!(await check().catch(() => false))) {
    if (systemClock.monotonicMs() > deadline)
      throw new Error(
        `${what} did not come true; the log ends:\n${(await readFile(processor.logFile, 'utf8')).slice(-3_000)}`,
      )
    await systemClock.sleep(50)
  }
}
const agentAccount = async (agent: string) => (await account()).agents.find((one) => one.agent === agent)

test('killed again and again, the database away, batches repeated and out of order: each reading stored once, windows right, the account balanced', async () => {
  const random = createRandom(SEED)
  const batches = 120
  const heard = new Map<string, number>()
  connection.subscribe('stored.v1.*', {
    callback: (_, message) => {
      for (const { agent, sequence } of parseControlMessage(storedWatermarks, message.data)?.watermarks ?? [])
        heard.set(agent, Math.max(heard.get(agent) ?? 0, sequence))
    },
  })
  const publishing = (async () => {
    for (const one of AGENTS) {
      // Neighbours change places, and some come twice, as after a gateway's restart.
      const sequences = Array.from({ length: batches }, (_, i) => i + 1)
      for (let i = 0; i + 1 < batches; i += 3)
        [sequences[i], sequences[i + 1]] = [sequences[i + 1] as number, sequences[i] as number]
      for (const sequence of sequences) {
        const bytes = batchFor(one, sequence)
        await client.publish(telemetrySubject(one.site, one.agent), bytes)
        if (random.below(10) < 2) await client.publish(telemetrySubject(one.site, one.agent), bytes)
        await systemClock.sleep(20)
      }
    }
  })()
  let kills = 0
  let done = false
  void publishing.finally(() => {
    done = true
  })
  while (!done || kills < 3) {
    await systemClock.sleep(150 + random.below(900))
    await processor.kill()
    kills += 1
    if (kills === 2) await influx.stop()
    const started = processor.start()
    if (kills === 2) {
      await systemClock.sleep(700)
      await influx.start()
    }
    await started
  }
  await publishing
  const readings = batches * READINGS_A_BATCH
  for (const { agent } of AGENTS)
    await until(`everything of ${agent} is stored`, async () => (await agentAccount(agent))?.stored === readings)
  expect(kills).toBeGreaterThanOrEqual(3)
  for (const { agent } of AGENTS)
    expect(await agentAccount(agent)).toMatchObject({
      produced: readings,
      stored: readings,
      deadLettered: 0,
      shed: 0,
      inFlight: 0,
      missing: 0,
      gaps: [],
    })
  for (const { site, device } of AGENTS) {
    const [series] = await query(`SELECT level_percent, sequence FROM tank WHERE device='${device}' AND site='${site}'`)
    expect(series?.values.length).toBe(batches * SAMPLES_A_BATCH)
    for (const [timeMs, level, n] of (series?.values ?? []) as [number, number, number][])
      if (level !== levelAt(device, n) || timeMs !== timeOf(n))
        throw new Error(`sample ${n} of ${device} is ${level} at ${timeMs}`)
    for (const [name, widthMs] of [
      ['tank_10s', 10_000],
      ['tank_1m', 60_000],
    ] as const) {
      const [windows] = await query(
        `SELECT level_percent_count, level_percent_mean, level_percent_max FROM rollup.${name} WHERE device='${device}'`,
      )
      expect(windows?.values.length).toBe((batches * SAMPLES_A_BATCH * 100) / widthMs)
      for (const [startMs, count, mean, max] of (windows?.values ?? []) as [number, number, number, number][]) {
        const first = (startMs - START_MS) / 100
        const levels = Array.from({ length: widthMs / 100 }, (_, i) => levelAt(device, first + i))
        expect(count).toBe(levels.length)
        expect(mean).toBeCloseTo(levels.reduce((a, b) => a + b, 0) / levels.length, 8)
        expect(max).toBe(Math.max(...levels))
      }
    }
  }
  await until('the watermarks are heard', async () => AGENTS.every(({ agent }) => heard.get(agent) === batches))
  const manager = await jetstreamManager(connection)
  await until('the stream is empty', async () => (await manager.streams.info(TELEMETRY_STREAM)).state.messages === 0)
}, 180_000)

test('poison, an unknown kind and a conflict with what is stored become dead letters; the rest goes on', async () => {
  const one = { site: 'harbour', agent: 'agent-d', device: 'tank-9' }
  const subject = telemetrySubject(one.site, one.agent)
  await client.publish(subject, Buffer.from('poison'))
  const blocks = [
    blockOf('tank-9', 'tank', [
      { timeMs: START_MS, values: { level_percent: 50, state: 'idle' } },
      { timeMs: START_MS + 1, values: { level_percent: 500 } },
    ]),
    blockOf('thing', 'no_such_kind', [{ timeMs: START_MS, values: { a: 1 } }]),
  ]
  await client.publish(
    subject,
    encodeBatch(batchOf({ agent: one.agent, sequence: 1, completeThroughMs: START_MS + 20_000, blocks })),
  )
  // Somebody wrote a float where the contract has an integer.
  await fetch(`${influx.url}/write?db=tributary&precision=ms`, {
    method: 'POST',
    body: `power,device=meter-9,site=harbour sequence=1.5 ${START_MS}\n`,
  })
  const power = [blockOf('meter-9', 'power', [{ timeMs: START_MS + 5, values: { sequence: 7 } }])]
  await client.publish(
    subject,
    encodeBatch(
      batchOf({
        agent: one.agent,
        sequence: 2,
        readingsBefore: 4,
        completeThroughMs: START_MS + 20_000,
        blocks: power,
      }),
    ),
  )
  await until('all is accounted for', async () => (await agentAccount('agent-d'))?.produced === 5)
  expect(await agentAccount('agent-d')).toMatchObject({
    produced: 5,
    stored: 2,
    deadLettered: 3,
    inFlight: 0,
    missing: 0,
  })
  const letters = []
  for await (const letter of readDeadLetters(connection, { agent: 'agent-d' })) letters.push(letter)
  expect(letters.map(({ stage, reason, readingCount }) => `${stage} ${reason} ${readingCount}`).sort()).toEqual([
    'contract out_of_range 1',
    'contract unknown_kind 1',
    expect.stringMatching(/^decode \w+ 0$/),
    'store field_type_conflict 1',
  ])
  const conflict = letters.find(({ stage }) => stage === 'store')
  expect(Buffer.from(conflict?.original ?? '', 'base64').toString()).toBe(
    `power,device=meter-9,site=harbour sequence=7i ${START_MS + 5}`,
  )
  expect(conflict).toMatchObject({ device: 'meter-9', kind: 'power', timeMs: START_MS + 5 })
  const [stored] = await query(`SELECT level_percent FROM tank WHERE device='tank-9' AND site='annex'`)
  expect(stored?.values).toEqual([[START_MS, 50]])
})

test('says how it is: status, health as a kind, account as a measurement, metrics', async () => {
  const status = (await (await fetch(`${admin}/status`)).json()) as Record<string, unknown>
  expect(status).toMatchObject({ processor: 'processor-1', natsConnected: true, influx: { ok: true } })
  expect((status['partitions'] as unknown[]).length).toBe(16)
  await until('health and account are stored', async () => {
    const health = await query(
      'SELECT readings_stored_total, stored_p50_ms FROM processor_health WHERE stored_p50_ms > 0',
    )
    const stored = await query(`SELECT last(stored) FROM account WHERE device='agent-d'`)
    return health.length > 0 && stored[0]?.values[0]?.[1] === 2
  })
  expect(await (await fetch(`${admin}/metrics`)).text()).toMatch(
    /tributary_readings_stored_total\{process="processor"\} \d+/,
  )
})

test('NATS restarted under it: goes on', async () => {
  await nats.kill()
  await nats.start()
  const one = AGENTS[0] as (typeof AGENTS)[number]
  await until('published', async () => {
    await client.publish(telemetrySubject(one.site, one.agent), batchFor(one, 121), { timeout: 1_000 })
    return true
  })
  await until('stored', async () => (await agentAccount(one.agent))?.stored === 121 * READINGS_A_BATCH)
})

test('the stream of dead letters deleted under it: made again, and the letters that waited are in it', async () => {
  const manager = await jetstreamManager(connection)
  await manager.streams.delete(DEAD_LETTER_STREAM)
  const one = AGENTS[1] as (typeof AGENTS)[number]
  await client.publish(telemetrySubject(one.site, one.agent), Buffer.from('poison that comes late'))
  await until('the letter is there', async () => {
    for await (const letter of readDeadLetters(connection))
      if (Buffer.from(letter.original, 'base64').toString() === 'poison that comes late') return true
    return false
  })
  await until('everything is acknowledged', async () => {
    const { state } = await manager.streams.info(TELEMETRY_STREAM)
    return state.messages === 0
  })
})

test.each([
  [
    'a config with mistakes',
    'processor: P 1\nnats: {}\ninflux: { url: "ftp://x" }\npartitions: 3-99\n',
    ['processor: ', 'nats.url: must be an address', 'influx.url: ', 'partitions: ', 'contracts: '],
  ],
  [
    'a folder of contracts that is not there',
    undefined,
    ['nowhere', 'the folder does not exist', 'correct the contracts'],
  ],
])('%s: says so and ends with 2', async (_, text, expected) => {
  const config = resolve(folder, 'wrong.yaml')
  await writeFile(
    config,
    text ??
      `processor: p\nnats: { url: "${nats.url}" }\ninflux: { url: "${influx.url}" }\ncontracts: ./nowhere\ncheckpoint: { folder: s }\nadmin: { listen: "127.0.0.1:0" }\n`,
  )
  const logFile = join(folder, `wrong-${systemClock.monotonicMs()}.log`)
  const wrong = createManagedProcess({
    name: 'wrong',
    program: process.execPath,
    arguments: ['--import', 'tsx', MAIN, '--config', config],
    logFile,
    isReady: async () => false,
  })
  await expect(wrong.start()).rejects.toThrow('ended with code 2')
  const said = await readFile(logFile, 'utf8')
  for (const part of expected) expect(said).toContain(part)
  expect(said).not.toMatch(/\n\s*at |"stack"/)
})
