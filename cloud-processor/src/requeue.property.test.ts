/** Batches and requests in any order, repeated, the processor started anew in between: one account, one set of points, one set of windows. */
import { type Batch, type Contract, contractSchema, type DeadLetter } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import type { StepContext } from './batch-scope.ts'
import { clearEffects, createEffects, type Effects } from './effects.ts'
import type { Intake } from './intake.ts'
import { fieldNamed } from './series.ts'
import { createSettledLetters, isSettled, noteSettled, SETTLED_MAX, wasForgotten } from './settled-letters.ts'
import { allSeries, type PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { batchOf, blockOf, contextOf, EPOCH, intakeOf, mixedContract, requestOf, stateFor } from './testing.ts'
import { CELLS } from './window.ts'

const START_MS = 1_767_225_600_000
const TIGHT = 500
const CORRECTED = 1_500
const withRange = (range: number): Contract =>
  contractSchema.parse({
    ...mixedContract,
    interval: '1s',
    fields: { ...mixedContract.fields, level: { ...mixedContract.fields['level'], range: [-range, range] } },
  })
const tight = contextOf([withRange(TIGHT)])
const corrected = contextOf([withRange(CORRECTED)])

const sample = fc.record({
  offsetMs: fc.integer({ min: 0, max: 100_000 }),
  values: fc.record(
    {
      level: fc.integer({ min: -2_000, max: 2_000 }),
      count: fc.integer({ min: 0, max: 100 }),
      mode: fc.constantFrom('on', 'off'),
    },
    { requiredKeys: ['level'] },
  ),
})

const story = fc.record({
  raw: fc.uniqueArray(sample, { selector: ({ offsetMs }) => offsetMs, minLength: 2, maxLength: 40 }),
  cut: fc.integer({ min: 1, max: 8 }),
  /** What comes next, of what is there: batches that did not come yet or did, letters that were made so far, a start anew. */
  events: fc.array(fc.tuple(fc.constantFrom('batch', 'batch', 'requeue', 'requeue', 'restart'), fc.nat()), {
    minLength: 10,
    maxLength: 60,
  }),
})

interface World {
  state: PartitionState
  readonly effects: Effects
  readonly points: Map<string, Record<string, string>>
  /** Every letter ever made, all generations. */
  readonly letters: DeadLetter[]
}

/** Points are upserts, field by field, as in InfluxDB. */
function settleEffects({ effects, points, letters }: World): void {
  for (let i = 0; i < effects.lines.count; i++) {
    const [, series, fields, time] = /^(\S+) (.*) (\d+)\n$/.exec(
      effects.lines.line(i).toString(),
    ) as unknown as string[]
    const point = points.get(`${series} ${time}`) ?? {}
    for (const pair of (fields as string).split(',')) {
      const [name, value] = pair.split('=') as [string, string]
      // A point that is written with two values would depend on who came last.
      expect(point[name] ?? value).toBe(value)
      point[name] = value
    }
    points.set(`${series} ${time}`, point)
  }
  letters.push(...effects.deadLetters)
  clearEffects(effects)
}

const isOpen = (world: World, letter: DeadLetter): boolean => {
  const epoch = world.state.agents.get('workshop/agent-a')?.epochs.get(EPOCH)
  return epoch !== undefined && !isSettled(epoch.settled, letter)
}

test('any order and repetition of batches and requeues: the same account, the same points, the same windows', () => {
  let requeued = 0
  fc.assert(
    fc.property(story, ({ raw, cut, events }) => {
      const samples = raw
        .map(({ offsetMs, values }) => ({ timeMs: START_MS + offsetMs, values }))
        .sort((a, b) => a.timeMs - b.timeMs)
      const batches: Batch[] = []
      for (let from = 0; from < samples.length; from += cut)
        batches.push(
          batchOf({
            sequence: batches.length + 1,
            readingsBefore: batches.at(-1)?.header.readingsTotal ?? 0,
            completeThroughMs: samples[from + cut]?.timeMs ?? START_MS + 200_000,
            blocks: [blockOf('pump-1', 'mixed', samples.slice(from, from + cut))],
          }),
        )
      const world: World = { state: stateFor(tight), effects: createEffects(), points: new Map(), letters: [] }
      const take = (batch: Batch) => {
        step(world.state, intakeOf(batch), tight, world.effects)
        settleEffects(world)
      }
      const requeue = (letter: DeadLetter) => {
        step(world.state, requestOf(letter), corrected, world.effects)
        requeued += 1
        settleEffects(world)
        const [account] = accountOf(world.state, START_MS, 1_000)
        if (account === undefined) throw new Error('no account')
        const { produced, stored, deadLettered, missing, inFlight } = account
        expect(stored + deadLettered + missing + inFlight).toBe(produced)
      }
      for (const [what, which] of events) {
        if (what === 'batch') take(batches[which % batches.length] as Batch)
        else if (what === 'restart') world.state = decodeState(encodeState(world.state), corrected.contracts)
        else if (world.letters.length > 0) requeue(world.letters[which % world.letters.length] as DeadLetter)
      }
      // What has not come comes now; then everything that is in the queue is requeued, and everything that ever was once more.
      for (const batch of batches) take(batch)
      for (const letter of world.letters.filter((one) => isOpen(world, one))) requeue(letter)
      const settled = encodeState(world.state)
      for (const letter of world.letters.filter((one) => !isOpen(world, one))) requeue(letter)
      expect(Buffer.from(encodeState(world.state)).equals(settled)).toBe(true)

      const refused = samples.filter(({ values }) => Math.abs(values.level) > CORRECTED).length
      const readings = samples.reduce((sum, { values }) => sum + Object.keys(values).length, 0)
      const [account] = accountOf(world.state, START_MS, 1_000)
      expect(account).toMatchObject({
        produced: readings,
        stored: readings - refused,
        deadLettered: refused,
        missing: 0,
        inFlight: 0,
      })
      const open = world.letters.filter((one) => isOpen(world, one))
      expect(open.reduce((sum, { readingCount }) => sum + readingCount, 0)).toBe(refused)
      expect(account?.letters.reduce((sum, one) => sum + one.readings, 0)).toBe(refused)
      const runs = world.state.agents.get('workshop/agent-a')?.epochs.get(EPOCH)?.sequences.runs
      expect(runs?.map(({ deadLettered }) => deadLettered)).toEqual([refused])

      const expected = new Map<string, Record<string, string>>()
      for (const { timeMs, values } of samples) {
        const fields: Record<string, string> = {}
        if (Math.abs(values.level) <= CORRECTED) fields['level'] = String(values.level)
        if (values.count !== undefined) fields['count'] = `${values.count}i`
        if (values.mode !== undefined) fields['mode'] = `"${values.mode}"`
        if (Object.keys(fields).length > 0) expected.set(`mixed,device=pump-1,site=workshop ${timeMs}`, fields)
      }
      // What was refused at first stays told, once a batch; what is requeued adds nothing to it.
      for (const { requeued: generation = 0, timeMs, readingCount } of world.letters) {
        const key = `data_quality,device=pump-1,field=level,issue=out_of_range,site=workshop ${timeMs}`
        if (generation === 0) expected.set(key, { kind: '"mixed"', policy: '"reject"', samples: `${readingCount}i` })
      }
      const stored = [...world.points].filter(([key]) => !/issue=late/.test(key))
      expect(Object.fromEntries(stored)).toEqual(Object.fromEntries(expected))

      for (const series of allSeries(world.state))
        for (const { rows, widthMs } of series.windows ?? [])
          for (const row of rows.values()) {
            const at = (fieldNamed(series, 'level')?.slot as number) * CELLS
            const endMs = row.startMs + widthMs
            if (!row.closed) continue // an hour goes on
            const inside = samples.filter(
              ({ timeMs, values }) => timeMs >= row.startMs && timeMs < endMs && Math.abs(values.level) <= CORRECTED,
            )
            expect([row.closed, row.changed, row.cells[at]]).toEqual([true, false, inside.length])
            if (inside.length === 0) continue
            expect(row.cells[at + 3]).toBe(Math.min(...inside.map(({ values }) => values.level)))
            expect(row.cells[at + 4]).toBe(Math.max(...inside.map(({ values }) => values.level)))
            expect(row.cells[at + 5]).toBe(inside.at(-1)?.values.level)
          }
    }),
    { numRuns: 150 },
  )
  expect(requeued).toBeGreaterThan(500)
})

test('requeued and dropped in any order, with crashes between: the account balances after each, and a repetition says the same', () => {
  const moves = fc.array(
    fc.tuple(fc.constantFrom('batch', 'requeue', 'requeue', 'drop', 'save', 'crash'), fc.nat(), fc.boolean()),
    { minLength: 5, maxLength: 40 },
  )
  const samples = fc.array(sample, { minLength: 3, maxLength: 12 })
  let crashes = 0
  const outcomes = new Map<string, number>()
  fc.assert(
    fc.property(samples, moves, (raw, plan) => {
      let before = 0
      const batches = raw.map(({ offsetMs, values }, i) => {
        const blocks = [blockOf('pump-1', 'mixed', [{ timeMs: START_MS + offsetMs, values }])]
        const batch = batchOf({ sequence: i + 1, readingsBefore: before, completeThroughMs: START_MS, blocks })
        before = batch.header.readingsTotal
        return batch
      })
      let state = stateFor(tight)
      let saved = encodeState(state)
      let since: { intake: Intake; context: StepContext; said: string }[] = []
      const letters: DeadLetter[] = []
      const perform = (intake: Intake, context: StepContext): string => {
        const effects = createEffects()
        step(state, intake, context, effects)
        letters.push(...effects.deadLetters)
        for (const { outcome } of effects.settlements) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        const { stored, deadLettered, missing, inFlight, produced, ...row } = accountOf(
          state,
          START_MS,
          1_000,
        )[0] as never as {
          stored: number
          deadLettered: number
          missing: number
          inFlight: number
          produced: number
          letters: { readings: number }[]
        }
        expect(stored + deadLettered + missing + inFlight).toBe(produced)
        expect(row.letters.reduce((sum, { readings }) => sum + readings, 0)).toBe(deadLettered)
        const runs = state.agents.get('workshop/agent-a')?.epochs.get(EPOCH)?.sequences.runs ?? []
        expect(runs.reduce((sum, run) => sum + run.deadLettered, 0)).toBe(deadLettered)
        return JSON.stringify([
          effects.lines.bytes.toString('utf8', 0, effects.lines.length),
          effects.deadLetters,
          effects.settlements,
        ])
      }
      let next = 0
      for (const [what, which, isCorrected] of plan) {
        const context = isCorrected && what !== 'batch' ? corrected : tight
        if (what === 'save') {
          saved = encodeState(state)
          since = []
        } else if (what === 'crash') {
          crashes += 1
          state = decodeState(saved, tight.contracts)
          for (const one of since) expect(perform(one.intake, one.context)).toBe(one.said)
        } else {
          const letter = letters[which % Math.max(1, letters.length)]
          const batch = what === 'batch' ? batches[next++] : undefined
          const intake = batch ? intakeOf(batch) : letter && requestOf(letter, what === 'drop' ? 'drop' : 'requeue')
          if (intake) since.push({ intake, context, said: perform(intake, context) })
        }
      }
    }),
    { numRuns: 200 },
  )
  expect(crashes).toBeGreaterThan(100)
  for (const outcome of ['stored', 'refused', 'dropped', 'settled_before'])
    expect(outcomes.get(outcome), outcome).toBeGreaterThan(20)
})

test('letters that were settled are remembered within a bound, and beyond it none is settled twice', () => {
  const settled = createSettledLetters()
  let most = 0
  const letter = (sequence: number, index = 'c0') => ({ id: `agent-a/${EPOCH}/${sequence}/${index}`, sequence })
  for (let sequence = 1; sequence <= SETTLED_MAX * 3; sequence++) {
    if (wasForgotten(settled, letter(sequence))) throw new Error(`${sequence} cannot be settled`)
    noteSettled(settled, letter(sequence))
    most = Math.max(most, settled.generations.size)
  }
  expect(most).toBe(SETTLED_MAX)
  for (let sequence = 1; sequence <= SETTLED_MAX * 3; sequence++)
    if (!isSettled(settled, letter(sequence)) && !wasForgotten(settled, letter(sequence)))
      throw new Error(`${sequence} could be settled again`)
  expect(wasForgotten(settled, letter(SETTLED_MAX * 3 - SETTLED_MAX / 4, 'c1'))).toBe(false)
})
