/**
 * Agents whose spools were damaged while they were off: each starts, sends what can be read, and the ledger names the rest, to the
 * sequence and the reading. What that is, is known here from the bytes that were damaged, and seen in InfluxDB.
 */
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { hashPassword } from '@tributary/gateway'
import { createRandom, systemClock } from '@tributary/runtime'
import { askJson, createPipeline, type Pipeline } from '@tributary/stack'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createFullDisk } from './harness/full-disk.ts'
import { runTributary, until } from './harness/run-tributary.ts'
import { type Damage, flipSomewhere, truncateSomewhere } from './harness/spool-damage.ts'
import { bundleAgent, createWaitingAgent, type WaitingAgent } from './harness/waiting-agent.ts'
import { scenario } from './harness/with-pipeline.ts'

const SEED = Number(process.env['DAMAGE_SEED'] ?? 7)
const TIMES = 50
const AT_ONCE = 5

const password = crypto.randomUUID()
const names = {
  truncated: Array.from({ length: TIMES }, (_, i) => `truncated-${i + 1}`),
  flipped: Array.from({ length: TIMES }, (_, i) => `flipped-${i + 1}`),
}
const STRANGER = 'an-agent-with-a-longer-name-than-the-others'

let folder: string
let bundle: string
let pipeline: Pipeline
/** Of the first reading of every agent: minutes ago, so that all are late. */
let fromMs: number
let failures = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-damaged-'))
  pipeline = await createPipeline({ dataFolder: folder, scenarioFile: scenario('steady'), seed: SEED })
  const hash = hashPassword(password)
  const lines = [...names.truncated, ...names.flipped, 'visited', 'full'].map((name) => `${name}:${hash}\n`)
  await appendFile(join(folder, 'agents.passwd'), lines.join(''))
  bundle = await bundleAgent(join(folder, 'bundle'))
  await Promise.all([pipeline.nats.start(), pipeline.influx.start()])
  await Promise.all([pipeline.gateway.start(), pipeline.processor.start()])
  fromMs = systemClock.wallMs() - 1_200_000
}, 120_000)

afterEach(({ task }) => {
  if (task.result?.state === 'fail') failures += 1
})
afterAll(async () => {
  await pipeline?.stop()
  if (failures > 0) console.error(`seed ${SEED}; logs and data are kept in ${folder}`)
  else await rm(folder, { recursive: true, force: true })
})

const waitingAgent = (name: string, spoolFolder = join(folder, `${name}-spool`), freeDisk = '1MiB') =>
  createWaitingAgent({
    name,
    folder,
    spoolFolder,
    bundle,
    gatewayPort: pipeline.urls.gatewayMqttPort,
    password,
    fromMs,
    freeDisk,
  })

interface AgentAccount {
  readonly agent: string
  readonly produced: number
  readonly stored: number
  readonly deadLettered: number
  readonly shed: number
  readonly inFlight: number
  readonly missing: number
  readonly gaps: readonly unknown[]
  readonly epochs: readonly { readonly epoch: string; readonly receivedThrough: number }[]
  readonly shedReasons: readonly {
    readonly reason: string
    readonly ranges: readonly Range[]
    readonly unnamedBatches: number
  }[]
}
interface Range {
  readonly epoch: string
  readonly fromSequence: number
  readonly toSequence: number
  readonly readings: number
}
interface AgentStatus {
  readonly epoch: string
  readonly sentThrough: number
  readonly backlogBatches: number
  readonly spoolProblem: string | null
  readonly nextSequence: number
}

const accountOf = async (name: string): Promise<AgentAccount | undefined> =>
  (await askJson<{ agents: AgentAccount[] }>(`${pipeline.urls.processor}/account`))?.agents.find(
    ({ agent }) => agent === name,
  )

/** Everything of the spool has arrived or is named. */
async function settled({ name, url, filled }: WaitingAgent): Promise<boolean> {
  const status = await askJson<AgentStatus>(`${url}/status`)
  if (!status || status.backlogBatches > 0 || status.sentThrough < filled.batches) return false
  const account = await accountOf(name)
  const through = account?.epochs.find(({ epoch }) => epoch === filled.epoch)?.receivedThrough ?? 0
  return account?.gaps.length === 0 && account.inFlight === 0 && through >= filled.batches
}

/** Starts it, lets it send everything, stops it. */
async function live(agent: WaitingAgent): Promise<void> {
  await agent.process.start()
  await until(() => settled(agent), `${agent.name} has sent what it has and told what it lost`, 60_000)
  expect({ agent: agent.name, exitCode: await agent.process.stop() }).toEqual({ agent: agent.name, exitCode: 0 })
}

/** A few at a time. */
async function liveAll(agents: readonly WaitingAgent[]): Promise<void> {
  const waiting = [...agents]
  const liveOn = async () => {
    for (let agent = waiting.shift(); agent; agent = waiting.shift()) await live(agent)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, liveOn))
}

/** Runs of neighbours, with their readings as the ledger should know them. */
function rangesOf({ filled, batches }: WaitingAgent, sequences: readonly number[]): Range[] {
  const ranges: { epoch: string; fromSequence: number; toSequence: number; readings: number }[] = []
  for (const sequence of sequences) {
    const readings = (batches[sequence - 1] ?? []).reduce((sum, { names }) => sum + names.length, 0)
    const last = ranges.at(-1)
    if (last?.toSequence === sequence - 1) {
      last.toSequence = sequence
      last.readings += readings
    } else ranges.push({ epoch: filled.epoch, fromSequence: sequence, toSequence: sequence, readings })
  }
  return ranges
}

/** What is stored of its readings is exactly what was in the batches that nobody damaged. */
async function expectStored(agent: WaitingAgent, lost: readonly number[]): Promise<number> {
  const expected = agent.batches
    .flatMap((samples, i) => (lost.includes(i + 1) ? [] : samples))
    .map(({ measuredAtMs, names, values }) => ({
      time: measuredAtMs,
      ...Object.fromEntries(names.map((field, i) => [field, values[i]])),
    }))
  const [series] = await pipeline.query(`SELECT * FROM "climate" WHERE "device" = '${agent.device}' ORDER BY time`)
  const found = (series?.values ?? []).map((row) => {
    const cells = row.map((value, i) => [series?.columns[i] as string, value] as const)
    return Object.fromEntries(cells.filter(([name, value]) => value !== null && name !== 'site' && name !== 'device'))
  })
  expect({ agent: agent.name, found }).toEqual({ agent: agent.name, found: expected })
  return expected.reduce((sum, sample) => sum + Object.keys(sample).length - 1, 0)
}

/** What the agent measured of itself and of its machine since it started. */
async function ownReadings(name: string): Promise<number> {
  const found = await pipeline.query(`SELECT count(*) FROM "agent_health", "host" WHERE "device" = '${name}'`)
  const cells = found.flatMap(({ values }) => (values[0] ?? []).slice(1))
  return cells.reduce<number>((sum, value) => sum + (typeof value === 'number' ? value : 0), 0)
}

/** The account of an agent that lost these sequences, and these alone. @returns what the ledger should print of them */
async function expectAccount(
  agent: WaitingAgent,
  lost: readonly number[],
  { newEpoch = false, reason = 'damaged' } = {},
): Promise<string[]> {
  const { name, filled } = agent
  const filledStored = await expectStored(agent, lost)
  // What it measured last, as it stopped, may still be on its way through the processor.
  const agrees = async () => (await accountOf(name))?.stored === filledStored + (await ownReadings(name))
  await until(agrees, `the account of ${name} agrees with the store`)
  const stored = filledStored + (await ownReadings(name))
  const account = await accountOf(name)
  const ranges = rangesOf(agent, lost)
  const shed = ranges.reduce((sum, { readings }) => sum + readings, 0)
  const present = account?.epochs.find(({ epoch }) => epoch !== filled.epoch)?.epoch ?? ''
  const unused = { epoch: present, fromSequence: 1, toSequence: filled.batches, readings: 0 }
  const named = [
    ...(ranges.length > 0 ? [{ reason, ranges, unnamedBatches: 0 }] : []),
    ...(newEpoch ? [{ reason: 'unused', ranges: [unused], unnamedBatches: 0 }] : []),
  ]
  expect({ newEpoch: present !== '', ...account }).toMatchObject({
    agent: name,
    newEpoch,
    produced: stored + shed,
    stored,
    shed,
    deadLettered: 0,
    missing: 0,
    inFlight: 0,
    gaps: [],
    shedReasons: named,
  })
  return named.flatMap(({ reason, ranges }) =>
    ranges.map(
      ({ epoch, fromSequence, toSequence, readings }) =>
        `shed: ${name}, epoch ${epoch}, sequences ${fromSequence} to ${toSequence}: ${readings} readings, ${reason}`,
    ),
  )
}

/** What a person reads. */
async function expectLedger(agents: readonly WaitingAgent[], expected: readonly string[]): Promise<void> {
  const { code, stdout } = await runTributary(['ledger', '--processor', pipeline.urls.processor])
  expect(code).toBe(0)
  const mine = stdout.split('\n').filter((line) => agents.some(({ name }) => line.startsWith(`shed: ${name},`)))
  expect(mine.map((line) => line.replace(/ \(.*\)$/, '')).sort()).toEqual([...expected].sort())
}

for (const [how, damageSomewhere] of [
  ['truncated', truncateSomewhere],
  ['flipped', flipSomewhere],
] as const)
  test(`${TIMES} spools, each ${how} at random places: every agent starts, and the ledger names what was lost`, {
    timeout: 170_000,
  }, async () => {
    const random = createRandom(SEED + (how === 'flipped' ? 1 : 0))
    const agents: WaitingAgent[] = []
    const damages: Damage[] = []
    for (const name of names[how]) {
      const agent = await waitingAgent(name)
      agents.push(agent)
      damages.push(await damageSomewhere(agent.spoolFolder, random))
    }
    const startedMs = systemClock.monotonicMs()
    await liveAll(agents)
    const seconds = ((systemClock.monotonicMs() - startedMs) / 1_000).toFixed(0)
    const lines: string[] = []
    for (const [i, agent] of agents.entries()) {
      const { file, at, sequences } = damages[i] as Damage
      lines.push(
        ...(await expectAccount(agent, sequences, { newEpoch: file === 'cursor' }).catch((error) => {
          console.error(
            `seed ${SEED}: ${agent.name}, ${file} ${how} at ${at.join(', ')}, which spoils ${sequences.join(', ')}`,
          )
          throw error
        })),
      )
    }
    await expectLedger(agents, lines)
    const lost = damages.reduce((sum, { sequences }) => sum + sequences.length, 0)
    const inCursor = damages.filter(({ file }) => file === 'cursor').length
    console.info(
      `seed ${SEED}: ${TIMES} spools of ${agents[0]?.filled.batches} batches ${how}, ${inCursor} of them in the cursor; ${lost} batches lost and named; ${seconds} s`,
    )
    expect(lost).toBeGreaterThan(TIMES / 2)
    expect(inCursor).toBeGreaterThan(0)
  })

test('a spool with foreign files in it: the agent sets them aside, starts, and nothing is lost', {
  timeout: 120_000,
}, async () => {
  const agent = await waitingAgent('visited')
  const stranger = await waitingAgent(STRANGER)
  const own = await readdir(agent.spoolFolder)
  const random = createRandom(SEED)
  const garbage = Buffer.from(Array.from({ length: 5_000 }, () => random.below(256)))
  const theirSegment = (await readdir(stranger.spoolFolder)).find(
    (file) => file.endsWith('.seg') && !own.includes(file),
  )
  expect(theirSegment).toBeDefined()
  const foreign: Record<string, Buffer> = {
    'notes.txt': Buffer.from('buy milk'),
    // Between the sequences of a segment of ours, as the next one, and far away.
    '00000000000000000003.seg': garbage,
    [`${String(agent.filled.batches + 1).padStart(20, '0')}.seg`]: garbage.subarray(100),
    '00000000000000999999.seg': garbage.subarray(200),
    [theirSegment as string]: await readFile(join(stranger.spoolFolder, theirSegment as string)),
    'photos/cat.jpg': garbage.subarray(300),
    '00000000000000888888.seg/a-folder.txt': Buffer.from('named like a segment'),
  }
  for (const [file, bytes] of Object.entries(foreign)) {
    expect(own).not.toContain(file)
    await mkdir(dirname(join(agent.spoolFolder, file)), { recursive: true })
    await writeFile(join(agent.spoolFolder, file), bytes)
  }
  await live(agent)
  await expectLedger([agent], await expectAccount(agent, []))
  const log = await readFile(agent.process.logFile, 'utf8')
  for (const [file, bytes] of Object.entries(foreign)) {
    expect(await readFile(join(agent.spoolFolder, 'quarantine', file))).toEqual(bytes)
    expect(log).toContain(`"file":"${file.split('/')[0]}"`)
  }
})

test('a spool on a full disk: the agent starts, says what to do, goes on when there is room, and the ledger names what was given up', {
  timeout: 150_000,
}, async () => {
  const disk = await createFullDisk(join(folder, 'full-disk'))
  const agent = await waitingAgent('full', join(disk.folder, 'spool'), disk.freeDisk)
  const status = () => askJson<AgentStatus>(`${agent.url}/status`)
  const logged = async () => readFile(agent.process.logFile, 'utf8')
  try {
    // Nobody takes anything out of it.
    await pipeline.gateway.stop()
    await disk.fill()
    await agent.process.start()
    await until(async () => (await status())?.spoolProblem === 'the spool is full', 'it says that it is full')
    expect((await fetch(`${agent.url}/readyz`)).status).toBe(503)
    expect(await logged()).toMatch(/free disk space.*the spool is full, and nothing in it can make room/)
    expect(await status()).toMatchObject({ epoch: agent.filled.epoch, nextSequence: agent.filled.batches + 1 })

    if (disk.nearlyMakeRoom) {
      await disk.nearlyMakeRoom()
      await until(
        async () => ((await status())?.nextSequence ?? 0) > agent.filled.batches + 2,
        'it gives up the oldest',
      )
      expect(await logged()).toContain('the oldest readings are rolled up, and shed at last')
    }
    await disk.makeRoom()
    await until(async () => (await status())?.spoolProblem === null, 'it writes again')
    expect((await fetch(`${agent.url}/readyz`)).status).toBe(200)
    await pipeline.gateway.start()
    await until(() => settled(agent), 'everything has arrived', 60_000)
    expect(await agent.process.stop()).toBe(0)

    const account = await accountOf(agent.name)
    const through = account?.shedReasons.find(({ reason }) => reason === 'shed')?.ranges[0]?.toSequence ?? 0
    expect(through).toBeLessThan(agent.filled.batches)
    expect(through > 0).toBe(disk.nearlyMakeRoom !== undefined)
    const lost = Array.from({ length: through }, (_, i) => i + 1)
    await expectLedger([agent], await expectAccount(agent, lost, { reason: 'shed' }))
    console.info(`${disk.kind}: ${through} of ${agent.filled.batches} batches were given up, and named`)
  } finally {
    await agent.process.stop()
    await disk.remove()
  }
})
