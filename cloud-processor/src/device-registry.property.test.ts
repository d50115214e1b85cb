/** Any order of edits and readings, and a death anywhere: each reading stands once, at the site of one version of the registry. */
import { type Contract, contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RegistryVersion } from './device-journal.ts'
import { type DeviceRecord, type Placement, placementAt, withPlacement } from './device-record.ts'
import {
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  decodeState,
  EPOCH,
  encodeState,
  intakeOf,
  rollupOf,
  stateFor,
  step,
} from './testing.ts'

const T = 1_767_225_600_000
const BATCHES = 8
const SAMPLES = 6
const SPAN_MS = BATCHES * SAMPLES * 1_000
const contract: Contract = contractSchema.parse({
  kind: 'mixed',
  version: 1,
  description: 'A level.',
  interval: '1s',
  fields: { level: { type: 'float', label: 'Level' } },
  thresholds: [{ field: 'level', above: 1_000 }],
})
const at = (fromMs: number, site: string): Placement => ({
  fromMs,
  site,
  line: '',
  name: '',
  location: '',
  thresholds: [],
})
/** Sample n of all: its value is its number. */
const timeOf = (n: number) => T + n * 1_000
const batches = Array.from({ length: BATCHES }, (_, b) => {
  const samples = Array.from({ length: SAMPLES }, (_, i) => ({
    timeMs: timeOf(b * SAMPLES + i),
    values: { level: b * SAMPLES + i },
  }))
  const blocks = [blockOf('pump-1', 'mixed', samples)]
  return batchOf({
    sequence: b + 1,
    readingsBefore: b * SAMPLES,
    completeThroughMs: timeOf((b + 1) * SAMPLES),
    lane: 'live',
    blocks,
  })
})

/** A registry whose versions can be asked for, as the journal keeps them. */
function registryWith(records: (DeviceRecord | undefined)[]) {
  let revision = 0
  return {
    get version(): RegistryVersion {
      return { journal: 'test', revision }
    },
    find: (_: string, asked: RegistryVersion) => records[asked.revision],
    edit: (record: DeviceRecord) => {
      records.push(record)
      revision = records.length - 1
    },
  }
}

const edit = fc.record({
  before: fc.nat(BATCHES),
  fromMs: fc.integer({ min: T - 5_000, max: T + SPAN_MS }),
  site: fc.constantFrom('hall', 'yard', 'annex'),
})
const plan = fc.record({
  order: fc.shuffledSubarray([...batches.keys()], { minLength: BATCHES }),
  edits: fc.array(edit, { maxLength: 5 }),
  diesAfter: fc.nat(BATCHES - 1),
  savedBefore: fc.nat(BATCHES - 1),
  lateMs: fc.constantFrom(0, 20_000, 10_000_000),
})

interface Stored {
  readonly lines: Map<string, string[]>
  readonly rollups: Map<string, string>
}
const keep = (effects: ReturnType<typeof createEffects>, stored: Stored) => {
  const linesOf = ({ bytes, length }: { bytes: Buffer; length: number }) =>
    bytes.toString('utf8', 0, length).split('\n').slice(0, -1)
  for (const line of linesOf(effects.lines)) {
    const [, site, level] = /^mixed,device=pump-1,site=(\w+) level=(\d+) /.exec(line) ?? []
    if (site === undefined || level === undefined) continue
    const sites = stored.lines.get(level) ?? []
    if (!sites.includes(site)) stored.lines.set(level, [...sites, site])
  }
  for (const line of linesOf(effects.rollups)) stored.rollups.set(line.replace(/ .* /, ' '), line)
}

test('each reading stands at one site: the one that the version said which its batch was processed by', () => {
  fc.assert(
    fc.property(plan, ({ order, edits, diesAfter, savedBefore, lateMs }) => {
      const registry = registryWith([undefined])
      const context = contextOf([contract], { registry })
      const stored: Stored = { lines: new Map(), rollups: new Map() }
      const effects = createEffects()
      let state = stateFor(context)
      let saved = encodeState(state)
      let savedAt = 0
      const processedBy = new Map<number, number>()
      const give = (place: number) => {
        clearEffects(effects)
        const batch = batches[order[place] as number] as (typeof batches)[number]
        processedBy.set(order[place] as number, state.registryVersion.revision)
        step(
          state,
          intakeOf(batch, { receivedAtMs: timeOf(place * SAMPLES) + lateMs, streamSequence: place + 1 }),
          context,
          effects,
        )
        keep(effects, stored)
      }
      let record: DeviceRecord | undefined
      let died = false
      for (let place = 0; place < BATCHES; place++) {
        for (const { before, fromMs, site } of edits)
          if (before === place) {
            record = withPlacement(record, at(fromMs, site))
            registry.edit(record)
          }
        // A partition goes over to the newest with a checkpoint alone, as the loop does.
        if (place === savedBefore || place % 3 === 0) {
          state.registryVersion = registry.version
          saved = encodeState(state)
          savedAt = place
        }
        give(place)
        if (place === diesAfter && !died) {
          died = true
          state = decodeState(saved, context.contracts)
          for (let again = savedAt; again <= place; again++) give(again)
        }
      }
      for (let n = 0; n < BATCHES * SAMPLES; n++) {
        const version = { journal: 'test', revision: processedBy.get(Math.floor(n / SAMPLES)) as number }
        const expected = placementAt(registry.find('pump-1', version), timeOf(n))?.site ?? 'workshop'
        expect(stored.lines.get(String(n)), `reading ${n}`).toEqual([expected])
      }
      // Every reading is in one window of its site: those of all sites together have all of them.
      clearEffects(effects)
      const end = batchOf({
        sequence: BATCHES + 1,
        readingsBefore: BATCHES * SAMPLES,
        completeThroughMs: T + 3_600_000,
      })
      step(state, intakeOf(end, { receivedAtMs: T + 3_600_000, streamSequence: BATCHES + 1 }), context, effects)
      keep(effects, stored)
      const counts = new Map<string, number>()
      for (const [key, line] of stored.rollups)
        if (key.startsWith('mixed_10s')) {
          const site = /site=(\w+)/.exec(line)?.[1] ?? ''
          counts.set(site, (counts.get(site) ?? 0) + Number(/level_count=(\d+)i/.exec(line)?.[1]))
        }
      const expectedCounts = new Map<string, number>()
      for (const [site] of stored.lines.values())
        if (site !== undefined) expectedCounts.set(site, (expectedCounts.get(site) ?? 0) + 1)
      expect(new Map([...counts].sort())).toEqual(new Map([...expectedCounts].sort()))
    }),
    { numRuns: 300, seed: 20_261 },
  )
})

test('a window that an agent rolled up belongs to the site where the device stood when it began', () => {
  const registry = registryWith([undefined])
  registry.edit([at(T - 1_000_000, 'hall'), at(T + 25_000, 'yard')].reduce(withPlacement, undefined as never))
  const context = contextOf([contract], { registry })
  const state = stateFor(context)
  state.registryVersion = registry.version
  const samples = Array.from({ length: 50 }, (_, n) => ({ timeMs: timeOf(n), values: { level: n } }))
  const lost = { fromSequence: 2, toSequence: 2 }
  const plans = [
    { sequence: 1, completeThroughMs: T },
    {
      sequence: 3,
      readingsBefore: samples.length,
      rollups: [rollupOf('pump-1', samples, lost)],
      tombstones: [{ ...lost, epoch: EPOCH, readingCount: samples.length, reason: 'rolled_up_10s' }],
    },
  ]
  const effects = createEffects()
  for (const one of plans)
    step(
      state,
      intakeOf(batchOf({ completeThroughMs: T + 3_600_000, ...one }), { receivedAtMs: T + 3_600_000 }),
      context,
      effects,
    )
  const stored: Stored = { lines: new Map(), rollups: new Map() }
  keep(effects, stored)
  expect(
    [...stored.rollups.keys()].filter((key) => key.startsWith('mixed_10s')).map((key) => key.replace(/^.*site=/, '')),
  ).toEqual([`hall ${T}`, `hall ${T + 10_000}`, `hall ${T + 20_000}`, `yard ${T + 30_000}`, `yard ${T + 40_000}`])
})
