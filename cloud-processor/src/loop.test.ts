/** Killed before and after every single operation, the loop must end with the same store, the same dead letters, the same account. */
import { contractSchema, type DeadLetter, type LetterSettlement, requeueSubject } from '@tributary/protocol'
import { type Clock, systemClock } from '@tributary/runtime'
import { describe, expect, test } from 'vitest'
import type { AgentAccount } from './account.ts'
import { createAlertEngine } from './alerts/index.ts'
import type { StepContext } from './batch-scope.ts'
import { TakenOverError } from './checkpoint.ts'
import { type ContextSource, createContextSource } from './contexts.ts'
import { contractSetOf } from './contract-set.ts'
import { NO_VERSION } from './device-journal.ts'
import type { DeviceLookup } from './device-registry.ts'
import { loopConformance } from './loop.conformance.ts'
import {
  begin,
  createWorld,
  deliveries,
  filesOnFaultyDisk,
  lateDeliveries,
  live,
  log,
  START_MS,
  summary,
  type World,
} from './loop-harness.ts'
import type { Notifier } from './notifiers/index.ts'
import { contextOf, mixedContract, registryOf } from './testing.ts'

describe('its checkpoint on a disk that forgets what was not synced', () =>
  loopConformance(async (strikeAt) => createWorld(strikeAt)))

describe('messages are stepped while others are being written', () => {
  loopConformance(async (strikeAt) => createWorld(strikeAt, { isSlow: true }))

  test('so it is', async () => {
    const world = createWorld(Number.POSITIVE_INFINITY, { isSlow: true })
    await live(world, contextOf())
    expect(world.overlaps).toBeGreaterThan(3)
  })
})

test('killed before and after every operation while late windows are recomputed: the same windows, and none is dirty', async () => {
  const context = contextOf(undefined, { memoryMs: 10_000 })
  const windowsOf = ({ points }: World) =>
    [...points.series]
      .filter(([name]) => /^mixed_(10s|1m),/.test(name))
      .flatMap(([name, rows]) =>
        [...rows].map(([startMs, fields]) => [
          name,
          startMs,
          [...fields].filter(([field]) => field !== 'revision').sort(),
        ]),
      )
      .sort()
  const calm = createWorld(Number.POSITIVE_INFINITY, { messages: lateDeliveries() })
  expect(await live(calm, context)).toMatchObject([{ produced: 122, stored: 122, inFlight: 0 }])
  const expected = windowsOf(calm)
  const counts = [...(calm.points.series.get('mixed_10s,device=pump-1,site=workshop')?.values() ?? [])].map((row) =>
    row.get('level_count'),
  )
  expect(counts).toEqual([10, 10, 10, 10, 10, 10, 1])
  let deaths = 0
  for (let strikeAt = 0; strikeAt < calm.operations * 2; strikeAt++) {
    const world = createWorld(strikeAt, { messages: lateDeliveries(), isSlow: strikeAt % 4 > 1 })
    // How many batches late windows make depends on when they are looked at: the last deaths may have nothing to interrupt.
    if ((await live(world, context)) === 'struck') {
      deaths += 1
      if ((await live(world, context)) === 'struck') throw new Error('died twice')
    }
    expect(windowsOf(world), `killed at ${strikeAt}`).toEqual(expected)
  }
  expect(deaths).toBeGreaterThan(15)
})

test('killed anywhere while the registry moves the device backwards in time: each reading stands at one site', async () => {
  let twoSites = 0
  for (let strikeAt = 0; ; strikeAt++) {
    const world = createWorld(strikeAt)
    // The move is entered as soon as the first readings are stored, and reaches back to before all of them.
    const sites = ['hall', 'yard']
    let revision = 1
    const registry: DeviceLookup = {
      get version() {
        if (world.store.size > 0) revision = 2
        return { journal: 'test', revision }
      },
      find: (device, version) =>
        registryOf({ [device]: { site: sites[version.revision - 1] as string } }).find(device, version),
    }
    const context = contextOf(undefined, { registry })
    const first = await live(world, context)
    const account = first === 'struck' ? await live(world, context) : first
    if (account === 'struck') throw new Error('died twice')
    expect(account).toMatchObject([{ produced: 120, stored: 117, deadLettered: 3 }])
    const raw = [...world.store.keys()].filter((key) => key.startsWith('mixed,'))
    const readings = raw.map((key) => key.replace(/site=\w+/, ''))
    expect(new Set(readings).size, `killed at ${strikeAt}`).toBe(readings.length)
    if (new Set(raw.map((key) => /site=(\w+)/.exec(key)?.[1])).size === 2) twoSites += 1
    if (first !== 'struck') break
  }
  expect(twoSites).toBeGreaterThan(20)
})
/** Contracts that change after every so many operations, also while the process is dead; the strict one refuses what the lax one takes. */
function changingContracts(world: World, operationsEach: number): ContextSource {
  const setWith = (policy: object) =>
    contractSetOf(
      JSON.stringify([
        {
          kind: 'mixed',
          version: 1,
          description: 'One field of each type.',
          interval: '1s',
          policy,
          fields: {
            level: { type: 'float', label: 'Level', range: [-1000, 1000] },
            running: { type: 'boolean', label: 'Running' },
          },
        },
      ]),
    )
  const sets = [setWith({ range: 'reject' }), setWith({ range: 'pass' })] as const
  const current = () => sets[Math.floor(world.operations / operationsEach) % 2] ?? sets[0]
  const contextFor = ({ contracts, version, source }: ReturnType<typeof contractSetOf>) =>
    contextOf([...contracts.values()], { contractsVersion: version, contractsSource: source })
  return createContextSource(current, contextFor, log)
}

test('contracts that change, and a death at every operation: no reading is both stored and refused', async () => {
  const seen = { stored: 0, refused: 0, deaths: 0 }
  for (const operationsEach of [3, 8])
    for (let strikeAt = 0; ; strikeAt++) {
      const world = createWorld(strikeAt, { messages: deliveries((_, i) => i === 2), isSlow: operationsEach === 8 })
      const contexts = changingContracts(world, operationsEach)
      const died = await live(world, contexts.current, { contexts })
      const account = died === 'struck' ? await live(world, contexts.current, { contexts }) : died
      if (account === 'struck') throw new Error('died twice')
      const stored = [...world.store].flatMap(([key, text]) =>
        key.startsWith('mixed,') && text.includes('level=5000') ? [Number(key.split(' ').at(-1))] : [],
      )
      const refused = [...world.letters.values()].flatMap((text) => {
        const { reason, original } = JSON.parse(text) as { reason: string; original: string }
        if (reason !== 'out_of_range') return []
        return (JSON.parse(Buffer.from(original, 'base64').toString()) as { times: number[] }).times
      })
      const wild = Array.from({ length: 12 }, (_, b) => START_MS + b * 5_000 + 2_000)
      expect([...stored, ...refused].sort(), `killed at ${strikeAt}`).toEqual(wild)
      expect(account).toMatchObject([{ produced: 120, inFlight: 0, missing: 0 }])
      seen.stored += stored.length
      seen.refused += refused.length
      if (died !== 'struck') break
      seen.deaths += 1
    }
  expect(Math.min(seen.stored, seen.refused, seen.deaths)).toBeGreaterThan(50)
}, 60_000)

test('a batch on which the step fails becomes a dead letter; nothing else is lost', async () => {
  const world = createWorld(Number.POSITIVE_INFINITY)
  let lookups = 0
  const context = contextOf(undefined, {
    registry: {
      version: NO_VERSION,
      find: () => {
        lookups += 1
        // The second batch always fails half way.
        const failing = [...world.stream.keys()][0] === 2 || lookups === 2
        if (failing && lookups > 1 && lookups < 4) throw new Error('a mistake in the program')
        return undefined
      },
    },
  })
  const account = (await live(world, context)) as AgentAccount[]
  expect(account).toMatchObject([{ produced: 120, inFlight: 0, missing: 0 }])
  const failed = [...world.letters.values()]
    .map((text) => JSON.parse(text))
    .filter(({ reason }) => reason === 'processing_failed')
  expect(failed.length).toBeGreaterThanOrEqual(1)
  const [row] = account as [AgentAccount]
  expect(row.stored + row.deadLettered).toBe(120)
})

test('killed at every operation while dead letters are requeued and dropped, each of them twice: the same store, answers and account', async () => {
  const wide = { ...mixedContract.fields['level'], range: [-9_000, 9_000] } as (typeof mixedContract.fields)[string]
  const corrected = contextOf([{ ...mixedContract, fields: { ...mixedContract.fields, level: wide } }])
  /** All that the first part of the story leaves, the dead letters asked for, and the process to die at some operation. */
  const prepared = async (strikeAt: number): Promise<World> => {
    const world = createWorld(Number.POSITIVE_INFINITY)
    await live(world, contextOf())
    const letters = [...world.letters.values()].map((text) => JSON.parse(text) as DeadLetter)
    let next = 100
    for (const repetition of ['first', 'second'])
      for (const letter of letters) {
        const action = letter.stage === 'contract' || letter.stage === 'store' ? 'requeue' : 'drop'
        world.subjects.set(next, requeueSubject(letter.site, letter.agent))
        world.stream.set(next, Buffer.from(JSON.stringify({ request: repetition, action, letter })))
        next += 1
      }
    world.operations = 0
    world.strikeAt = strikeAt
    return world
  }
  const calm = await prepared(Number.POSITIVE_INFINITY)
  const expected = summary(calm, (await live(calm, corrected)) as AgentAccount[])
  // The line that the store refused stays refused; the other letter of readings is stored; the poison is dropped.
  expect(expected.account).toMatchObject([{ produced: 120, stored: 118, deadLettered: 2, inFlight: 0, missing: 0 }])
  const answers = expected.letters
    .map(([, text]) => JSON.parse(text) as LetterSettlement)
    .filter(({ outcome }) => outcome !== undefined)
  expect(answers.map(({ request, outcome }) => `${request} ${outcome}`).sort()).toEqual([
    'first dropped',
    'first refused',
    'first stored',
    'second dropped',
    'second settled_before',
    'second settled_before',
  ])
  expect(expected.store.filter(([, line]) => line.includes('level=5000'))).toHaveLength(1)
  let deaths = 0
  for (let strikeAt = 0; ; strikeAt++) {
    const world = await prepared(strikeAt)
    if ((await live(world, corrected)) !== 'struck') break
    deaths += 1
    const account = await live(world, corrected)
    if (account === 'struck') throw new Error('died twice')
    expect(summary(world, account), `killed at ${strikeAt}`).toEqual(expected)
  }
  expect(deaths).toBeGreaterThan(10)
})

test('checkpoints failed for ten minutes: the next one comes as soon as ever', async () => {
  const world = createWorld(Number.POSITIVE_INFINITY, {
    openCheckpoints: (inWorld, owner, operation) => {
      const store = filesOnFaultyDisk(inWorld, owner, operation)
      return {
        ...store,
        save: async (bytes, expected) => {
          if (outageMs > 0) throw new Error('nobody answers')
          return store.save(bytes, expected)
        },
      }
    },
  })
  let outageMs = 600_000
  let passedMs = 0
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + passedMs,
    sleep: async () => {
      passedMs += outageMs
      outageMs = 0
    },
  }
  const { loop, outcome } = begin(world, contextOf(), { clock })
  await outcome
  expect(passedMs).toBe(600_000)
  expect(loop.checkpoint.lastMs).toBeGreaterThan(0)
  expect(loop.checkpoint.lastMs).toBeLessThan(60_000)
})

/** An alert fires early, and people are told. */
const alarming = contextOf(
  [contractSchema.parse({ ...mixedContract, interval: '1s', thresholds: [{ field: 'level', above: 6 }] })],
  {
    receivers: ['people'],
  },
)
const firing = (): StepContext => ({ ...alarming, engine: createAlertEngine([], alarming.contracts) })
/** @param sendMs so long takes each */
function receiver(sendMs: number, keys: string[]): Notifier {
  return {
    name: 'people',
    send: async ({ key }, signal) => {
      await systemClock.sleep(sendMs, signal)
      keys.push(key)
      return 'taken'
    },
  }
}

test('people are told at once: an alert does not wait for the next checkpoint in turn, readings do', async () => {
  const told: string[] = []
  const lives = [firing(), contextOf()].map((context) => {
    const world = createWorld(Number.POSITIVE_INFINITY)
    return { world, ...begin(world, context, { notifiers: [receiver(0, told)], checkpointIntervalMs: 3_600_000 }) }
  })
  const untilMs = systemClock.monotonicMs() + 5_000
  while (told.length === 0 && systemClock.monotonicMs() < untilMs) await systemClock.sleep(100)
  const acknowledged = lives.map((life) => life.told.includes('acknowledged'))
  // Their streams are empty: they end.
  for (const { world } of lives) world.stream.clear()
  await Promise.all(lives.map(({ outcome }) => outcome))
  expect(told.length).toBeGreaterThan(0)
  expect(acknowledged).toEqual([true, false])
})

test('stopped while notifications are on their way: after the next start nobody is told again', async () => {
  const world = createWorld(Number.POSITIVE_INFINITY)
  const told: string[] = []
  const notifiers = [receiver(100, told)]
  await begin(world, firing(), { notifiers }).outcome
  expect(told.length).toBeGreaterThan(0)
  await begin(world, firing(), { notifiers }).outcome
  expect(told).toEqual([...new Set(told)])
})

test('replaced while notifications wait: it tells nobody any more', async () => {
  const world = createWorld(Number.POSITIVE_INFINITY)
  let release: () => void = () => undefined
  world.standing = new Promise((resolve) => {
    release = resolve
  })
  const byFirst: string[] = []
  const slow = receiver(300, byFirst)
  const strikesNext: Notifier['send'] = (...given) => {
    world.strikeAt = 2 * world.operations
    return slow.send(...given)
  }
  const first = begin(world, firing(), { notifiers: [{ ...slow, send: strikesNext }] })
  expect(await first.outcome).toBe('struck')
  const bySecond: string[] = []
  await begin(world, firing(), { notifiers: [receiver(0, bySecond)] }).outcome
  const before = byFirst.length
  release()
  await expect(first.end).rejects.toBeInstanceOf(TakenOverError)
  await systemClock.sleep(400)
  expect(bySecond.length).toBeGreaterThan(0)
  expect(byFirst.length).toBe(before)
})

test('a mistake that strikes the refusal of a message, too: the partition tries again now and then, not all the time', async () => {
  const world = createWorld(Number.POSITIVE_INFINITY)
  const mistake = (): never => {
    throw new Error('a mistake in the program')
  }
  const failing = contextOf(undefined, { registry: { version: NO_VERSION, find: mistake } })
  const context = Object.defineProperty(failing, 'privacy', { get: mistake })
  const { outcome, ...life } = begin(world, context)
  await systemClock.sleep(1_500)
  const claims = world.operations
  expect(claims).toBeGreaterThan(1)
  expect(claims).toBeLessThan(12)
  world.strikeAt = 2 * world.operations
  expect(await outcome).toBe('struck')
  expect(life.told).not.toContain('acknowledged')
})
