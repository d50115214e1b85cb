/**
 * Contracts with real servers: no sensitive value reaches anything that the processor writes, in whatever shape it comes; and contracts
 * that change are in force without a restart, unless they are broken.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { JetStreamClient } from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import { type DeadLetter, encodeBatch, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import type { ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readDeadLetters } from './dead-letter-queue.ts'
import type { InfluxQuery } from './influx-query.ts'
import { type Receiver, startReceiver } from './notifiers/receiver.ts'
import { type Surroundings, startSurroundings } from './processor-harness.ts'
import { type BatchPlan, batchOf, blockOf, readingsOf, rollupOf, type SampleValues } from './testing.ts'

const SECRET = 's3cr3tBADGE4711'
const SECRET_NUMBER = 86_753_090_001
const SECRETS = [SECRET, String(SECRET_NUMBER)]
/** Of a field that is not sensitive: where it is not found, nothing would be. */
const VISIBLE = 'v1s1bleMARKER4711'

const doorWith = (policy: string, high = 100, sensitivity = 'hash') => `kind: door
version: 1
description: A door with a reader of badges.
interval: 1s
policy: ${policy}
fields:
  badge: { type: string, label: Badge, values: [nobody], sensitivity: ${sensitivity} }
  pin: { type: integer, label: PIN, range: [0, 9999], sensitivity: mask }
  owner: { type: string, label: Owner, sensitivity: drop }
  opened: { type: integer, label: Times opened, range: [0, ${high}] }
  note: { type: string, label: Note }
thresholds:
  - { field: opened, above: 50, severity: critical }
`

let folder: string
let processor: ManagedProcess
let admin: string
let connection: NatsConnection
let client: JetStreamClient
let query: InfluxQuery
let receiver: Receiver
const writeContract = (text: string) => writeFile(join(folder, 'contracts', 'door.yaml'), text)

let surroundings: Surroundings | undefined
beforeAll(async () => {
  receiver = await startReceiver(() => ({ status: 200 }))
  surroundings = await startSurroundings('contracts', async (made) => {
    folder = made
    await mkdir(join(folder, 'contracts'))
    await writeContract(doorWith('{ unknown_field: pass }'))
    await writeFile(join(folder, 'hash.key'), 'a key of more than sixteen characters\n')
    return `contracts: contracts
sensitive: { hash_key_file: hash.key }
checkpoint: { folder: state, interval: 50ms }
notifiers: [{ name: hook, type: webhook, url: "${receiver.url}" }, { name: log, type: log }]
log: { level: debug }
`
  })
  ;({ processor, admin, connection, client, query } = surroundings)
})
afterAll(async () => {
  await surroundings?.stop()
  await receiver?.close()
})

const START_MS = 1_767_225_600_000
let sequence = 0
let readingsBefore = 0
async function send(plan: Omit<BatchPlan, 'sequence' | 'readingsBefore'>): Promise<void> {
  sequence += 1
  const batch = batchOf({ completeThroughMs: START_MS + sequence * 60_000, ...plan, sequence, readingsBefore })
  readingsBefore = batch.header.readingsTotal
  expect(readingsBefore).toBeGreaterThanOrEqual(readingsOf(batch.blocks))
  await client.publish(telemetrySubject('workshop', 'agent-a'), encodeBatch(batch))
}
const samplesAt = (offsetMs: number, ...values: SampleValues['values'][]): SampleValues[] =>
  values.map((one, i) => ({ timeMs: START_MS + offsetMs + i * 1_000, values: one }))
const door = (offsetMs: number, ...values: SampleValues['values'][]) =>
  blockOf('door-1', 'door', samplesAt(offsetMs, ...values))

const get = async (path: string) => (await fetch(`${admin}${path}`)).text()
const status = async () => JSON.parse(await get('/status')) as { contracts: Record<string, unknown> }
const agentRow = async () => {
  const { agents } = JSON.parse(await get('/account')) as { agents: Record<string, unknown>[] }
  return agents.find(({ agent }) => agent === 'agent-a')
}
const until = async (what: string, check: () => Promise<boolean>) => {
  const deadline = systemClock.monotonicMs() + 30_000
  while (!(await check().catch(() => false))) {
    if (systemClock.monotonicMs() > deadline)
      throw new Error(
        `${what} did not come true; the log ends:\n${(await readFile(processor.logFile, 'utf8')).slice(-3_000)}`,
      )
    await systemClock.sleep(50)
  }
}
const accounted = async () => {
  const row = (await agentRow()) as Record<'produced' | 'stored' | 'deadLettered' | 'shed', number> | undefined
  return row?.produced === readingsBefore && row.stored + row.deadLettered + row.shed === readingsBefore
}

/** The bytes of every file below a folder. */
async function bytesIn(path: string): Promise<Buffer> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return Buffer.concat(await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)))))
}
const letters = async (): Promise<DeadLetter[]> => {
  const found: DeadLetter[] = []
  for await (const letter of readDeadLetters(connection)) found.push(letter)
  return found
}

test('a secret that comes in every shape is in nothing that the processor writes', async () => {
  const values = { badge: SECRET, pin: SECRET_NUMBER, owner: SECRET, opened: 1, note: VISIBLE }
  // As it should be, out of range, off the list; as another type; a field of the name under the wrong kind.
  await send({ blocks: [door(0, values, { ...values, opened: 77 }, { ...values, opened: 78 })] })
  await send({
    blocks: [door(60_000, { badge: SECRET_NUMBER, pin: SECRET, owner: SECRET_NUMBER, opened: 2, note: VISIBLE })],
  })
  await send({
    blocks: [blockOf('door-1', 'dor', samplesAt(120_000, { badge: SECRET, pin: SECRET_NUMBER, note: VISIBLE }))],
  })
  // A day and more ahead.
  const ahead = { timeMs: systemClock.wallMs() + 3 * 86_400_000, values }
  await send({ blocks: [blockOf('door-1', 'door', [ahead])] })
  // Rolled up at the edge: known kind and unknown.
  const rolled = samplesAt(180_000, { badge: SECRET, pin: SECRET_NUMBER, opened: 3 })
  const tombstones = [
    { epoch: '0123456789abcdef', fromSequence: 5, toSequence: 6, readingCount: 6, reason: 'rolled_up_10s' },
  ]
  sequence += 2
  readingsBefore += 6
  await send({
    tombstones,
    rollups: [
      rollupOf('door-1', rolled, { kind: 'door', fromSequence: 5 }),
      rollupOf('door-1', rolled, { kind: 'dor', fromSequence: 6 }),
    ],
  })
  // A line that the edge could not read, and messages that are no batches.
  const original = Buffer.from(`{"badge":"${SECRET}","pin":${SECRET_NUMBER}`)
  await send({
    deadLetters: [
      {
        input: 'serial',
        device: 'door-1',
        reason: 'not_json',
        detail: `not JSON: ${original.toString()}`,
        receivedAtMs: START_MS,
        original,
        originalBytes: original.length,
        readingCount: 0,
      },
    ],
  })
  await client.publish(telemetrySubject('workshop', 'agent-a'), original)
  await until('everything is accounted for', accounted)
  await until('people are told', async () => receiver.taken.length > 0)
  await until('the poison is a dead letter', async () => (await letters()).some(({ stage }) => stage === 'decode'))
  await until('windows are written', async () => (await query('SELECT * FROM rollup.door_10s')).length > 0)
  const all = await letters()
  expect(new Set(all.map(({ reason }) => reason))).toEqual(
    new Set(['not_in_list', 'out_of_range', 'wrong_type', 'unknown_kind', 'time_in_future', 'not_json', 'not_a_batch']),
  )
  const asked = await query('SELECT * FROM /.*/; SELECT * FROM rollup./.*/')
  // A clean stop, so that everything is on its disk.
  await processor.stop()
  const lettersRead = all.map((letter) => ({ ...letter, original: Buffer.from(letter.original, 'base64').toString() }))
  const deadLetterFiles = (await readdir(join(folder, 'jetstream'), { recursive: true, withFileTypes: true })).filter(
    (entry) => entry.isFile() && entry.parentPath.includes('DEADLETTER'),
  )
  const sinks: Record<string, Buffer> = {
    'InfluxDB, asked': Buffer.from(JSON.stringify(asked)),
    'InfluxDB, its files': await bytesIn(join(folder, 'influx')),
    'dead letters': Buffer.from(JSON.stringify(lettersRead)),
    'dead letters, their files': Buffer.concat(
      await Promise.all(deadLetterFiles.map((file) => readFile(join(file.parentPath, file.name)))),
    ),
    checkpoint: await bytesIn(join(folder, 'state')),
    log: await readFile(processor.logFile),
    webhooks: Buffer.from(JSON.stringify(receiver.requests)),
  }
  for (const [sink, bytes] of Object.entries(sinks)) {
    expect(bytes.length, sink).toBeGreaterThan(100)
    for (const secret of SECRETS)
      for (const form of [secret, Buffer.from(secret).toString('base64').slice(0, 12)])
        expect(bytes.includes(form), `${form} in ${sink}`).toBe(false)
    for (const number of [Float64Array.of(SECRET_NUMBER), BigInt64Array.of(BigInt(SECRET_NUMBER))])
      expect(bytes.includes(Buffer.from(number.buffer)), `the number in ${sink}`).toBe(false)
  }
  // What is not sensitive is found by the same search.
  for (const sink of ['InfluxDB, asked', 'InfluxDB, its files', 'dead letters', 'checkpoint'])
    expect(sinks[sink]?.includes(VISIBLE), sink).toBe(true)
  expect(sinks['webhooks']?.includes('door-1')).toBe(true)
  expect(sinks['dead letters, their files']?.includes('unknown_kind')).toBe(true)
  await processor.start()
  for (const path of ['/status', '/account', '/alerts', '/anomalies', '/dirty', '/metrics'])
    for (const secret of SECRETS) expect(await get(path), path).not.toContain(secret)
})

test('contracts that change are in force without a restart; broken ones are refused, and SIGHUP reads them at once', async () => {
  const versionOf = async () => (await status()).contracts['version'] as string
  const before = await versionOf()
  const refusedBefore = (await letters()).filter(({ field }) => field === 'opened').length
  await send({ blocks: [door(600_000, { opened: 101 })] })
  await until(
    'it is refused',
    async () => (await letters()).filter(({ field }) => field === 'opened').length > refusedBefore,
  )
  await writeContract(doorWith('{ range: flag }', 200))
  await until('the change is seen', async () => (await versionOf()) !== before)
  await send({ blocks: [door(700_000, { opened: 150 }, { opened: 250, colour: 'red' })] })
  await until('it is accounted for', accounted)
  const [series] = await query(
    `SELECT opened, contract_flags FROM door WHERE time >= ${START_MS + 700_000}ms AND time < ${START_MS + 800_000}ms`,
  )
  expect(series?.values.map(([, ...rest]) => rest)).toEqual([
    [150, null],
    [250, 'opened:out_of_range'],
  ])
  const [drift] = await query(`SELECT * FROM schema_drift WHERE "field"='colour'`)
  expect(drift?.values).toHaveLength(1)

  const good = await versionOf()
  await writeContract(doorWith('{ range: perhaps }'))
  await until('the broken one is refused', async () => (await status()).contracts['fault'] !== null)
  expect((await status()).contracts).toMatchObject({ version: good, refusals: 1 })
  expect(String((await status()).contracts['fault'])).toContain('policy.range: must be "reject", "flag" or "pass"')
  await send({ blocks: [door(900_000, { opened: 199 })] })
  await until('what was in force goes on', accounted)

  await writeContract(doorWith('{ range: flag }', 300))
  await processor.kill('SIGHUP')
  await until('it is read again', async () => (await versionOf()) !== good)
  expect((await status()).contracts).toMatchObject({ fault: null, flagged: { out_of_range: 1 } })
  expect(JSON.parse(await get('/account'))).toMatchObject({ contractsVersion: await versionOf() })
  expect(await get('/metrics')).toMatch(/tributary_schema_drifts\S* [1-9]/)
})
