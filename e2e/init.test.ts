/** `tributary init` as a person runs it, against real servers. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { createInfluxQuery } from '@tributary/cloud-processor'
import {
  createInfluxServer,
  createNatsServer,
  findServer,
  freePort,
  type ManagedProcess,
  repositoryFolder,
} from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runTributary } from './harness/run-tributary.ts'

let folder: string
let nats: ManagedProcess & { url: string }
let influx: ManagedProcess & { url: string }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-init-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  influx = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await Promise.all([nats.start(), influx.start()])
})
afterAll(async () => {
  await Promise.all([nats?.stop(), influx?.stop()])
  await rm(folder, { recursive: true, force: true })
})

async function init(args: readonly string[], influxMore = '') {
  const config = join(folder, 'processor.yaml')
  await writeFile(
    config,
    `processor: p
nats: { url: "${nats.url}" }
influx: { url: "${influx.url}", database: river${influxMore} }
contracts: ${join(repositoryFolder, 'contracts')}
`,
  )
  return runTributary(['init', '--config', config, ...args])
}
const outcomes = (stdout: string): string[] =>
  (JSON.parse(stdout) as { items: { what: string; name: string; outcome: string }[] }).items.map(
    ({ what, name, outcome }) => `${what} ${name}: ${outcome}`,
  )
const ITEMS = [
  'database river',
  'retention policy river.autogen',
  'retention policy river.rollup',
  'stream TELEMETRY',
  'stream DEADLETTER',
  'KV bucket tributary_checkpoints',
]
const made = async () => {
  const connection = await connect({ servers: nats.url })
  const names: string[] = []
  for await (const name of (await jetstreamManager(connection)).streams.names()) names.push(name)
  await connection.close()
  const query = createInfluxQuery({ url: influx.url, database: 'river' })
  const [databases] = await query('SHOW DATABASES')
  const [policies] = await query('SHOW RETENTION POLICIES ON river').catch(() => [])
  await query.close()
  return {
    streams: names.sort(),
    databases: (databases?.values ?? []).flat().filter((name) => name !== '_internal'),
    policies: policies?.values.map(([name, duration, , , isDefault]) => [name, duration, isDefault]),
  }
}

test('says what it would make, makes it, and then finds it; what differs is said and left alone', async () => {
  const nothing = await made()
  expect(nothing).toMatchObject({ streams: [], databases: [] })
  const dry = await init(['--dry-run', '--json'], ', rollup_retention: 90d')
  expect([dry.code, outcomes(dry.stdout)]).toEqual([0, ITEMS.map((item) => `${item}: would create`)])
  expect(await made()).toEqual(nothing)

  const first = await init(['--json'], ', rollup_retention: 90d')
  expect([first.code, outcomes(first.stdout)]).toEqual([
    0,
    ITEMS.map((item) => (item.endsWith('autogen') ? `${item}: exists` : `${item}: created`)),
  ])
  expect(await made()).toEqual({
    streams: ['DEADLETTER', 'KV_tributary_checkpoints', 'TELEMETRY'],
    databases: ['river'],
    policies: [
      ['autogen', '0s', true],
      ['rollup', '2160h0m0s', false],
    ],
  })

  const again = await init([], ', rollup_retention: 90d')
  expect(again.code).toBe(0)
  expect(again.stdout.match(/ exists/g)).toHaveLength(ITEMS.length)
  expect(again.stdout).not.toContain('created')

  const other = await init(['--json'], ', rollup_retention: 7d')
  expect(other.code).toBe(1)
  expect(JSON.parse(other.stdout).items[2]).toMatchObject({
    outcome: 'differs',
    detail: 'it keeps 2160h0m0s, the config says 7d: ALTER RETENTION POLICY "rollup" ON "river" DURATION 7d changes it',
  })
  expect((await made()).policies?.[1]).toEqual(['rollup', '2160h0m0s', false])
}, 60_000)

test('a database whose default policy is another: stays as it is, and that raw data goes there is said', async () => {
  const query = createInfluxQuery({ url: influx.url, database: 'river' })
  await query('DROP DATABASE river; CREATE DATABASE river WITH DURATION 30d NAME monthly')
  await query.close()
  const { code, stdout } = await init(['--json'])
  expect(code).toBe(1)
  expect(JSON.parse(stdout).items[1]).toMatchObject({
    outcome: 'differs',
    detail:
      'raw data goes to "monthly", the default: CREATE RETENTION POLICY "autogen" ON "river" DURATION INF REPLICATION 1 DEFAULT changes it',
  })
  expect((await made()).policies).toEqual([
    ['monthly', '720h0m0s', true],
    ['rollup', '0s', false],
  ])
}, 60_000)

test('a server that does not answer: says which and what to do, tells what was made before, ends with 2', async () => {
  await nats.stop()
  try {
    const { code, stdout, stderr } = await init(['--json'])
    expect(code).toBe(2)
    expect(stderr).toContain(`NATS at ${nats.url}`)
    expect(stderr).toContain('check nats in the config')
    expect(stderr).not.toMatch(/\n\s+at /)
    expect(outcomes(stdout)).toHaveLength(3)
  } finally {
    await nats.start()
  }
}, 60_000)
