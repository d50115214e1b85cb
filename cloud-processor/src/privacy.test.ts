/** Whatever comes with a sensitive value, in whatever shape, nothing that leaves `step` or stays in its state has it. */
import { type Contract, contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { accountOf } from './account.ts'
import { clearEffects, createEffects, type Effects } from './effects.ts'
import { createPrivacy, MASKED } from './privacy.ts'
import type { PartitionState } from './state.ts'
import { encodeState } from './state-codec.ts'
import { step } from './step.ts'
import {
  batchOf,
  blockOf,
  contextOf,
  intakeOf,
  RECEIVED_AT_MS,
  readingsOf,
  rollupOf,
  type SampleValues,
  stateFor,
} from './testing.ts'

const T = 1_767_225_600_000
const SECRET = 's3cr3t-badge'
const SECRET_NUMBER = 8_675_309
const SECRET_TEXT = /s3cr3t|8675309/

const doorWith = (policy: object = {}): Contract =>
  contractSchema.parse({
    kind: 'door',
    version: 1,
    description: 'A door with a reader of badges.',
    interval: '1s',
    policy,
    fields: {
      badge: { type: 'string', label: 'Badge', values: ['nobody'], sensitivity: 'hash', required: true },
      pin: { type: 'integer', label: 'PIN', range: [0, 9999], sensitivity: 'mask' },
      owner: { type: 'string', label: 'Owner', sensitivity: 'drop' },
      opened: { type: 'integer', label: 'Times opened' },
    },
    detectors: { outlier: ['opened'], silence: '15s' },
  })

/** Everything that a step hands out, and the state, as text; originals are read. */
function everything(state: PartitionState, effects: Effects): string {
  const letters = effects.deadLetters.map((letter) => ({
    ...letter,
    original: Buffer.from(letter.original, 'base64').toString(),
  }))
  const { anomalies, transitions, drifts } = effects
  return [
    effects.lines.bytes.toString('utf8', 0, effects.lines.length),
    effects.rollups.bytes.toString('utf8', 0, effects.rollups.length),
    JSON.stringify({ letters, anomalies, transitions, drifts }),
    Buffer.from(encodeState(state)).toString('latin1'),
  ].join('\n')
}

test('mask, hash and drop: what stands in the store instead', () => {
  const context = contextOf([doorWith({ range: 'flag' })])
  const state = stateFor(context)
  const effects = createEffects()
  const blocks = [
    blockOf('d-1', 'door', [{ timeMs: T, values: { badge: SECRET, pin: 1234, owner: SECRET, opened: 7 } }]),
  ]
  step(state, intakeOf(batchOf({ sequence: 1, blocks })), context, effects)
  const line = effects.lines.line(0).toString().trimEnd()
  expect(line).toMatch(
    /^door,device=d-1,site=workshop badge="#[0-9a-f]{24}",pin="\*\*\*",opened=7i,contract_flags="badge:not_in_list" \d+$/,
  )
  expect(accountOf(state, 0, 60_000)[0]).toMatchObject({
    produced: 4,
    stored: 3,
    deadLettered: 0,
    shed: 1,
    shedReasons: [{ reason: 'sensitive', readings: 1 }],
  })
})

test('a hash is the same for the same value, another with another key, and not to be told without one', () => {
  const contracts = contextOf([doorWith()]).contracts
  const hashed = (hashKey: string, value: string | number) => {
    const block = blockOf('d-1', 'door', [{ timeMs: T, values: { badge: value } }])
    return createPrivacy(contracts, { hashKey }).hide(block).columns[0]?.values[0]
  }
  expect(hashed('a key of sixteen characters', 'B-12')).toBe(hashed('a key of sixteen characters', 'B-12'))
  expect(hashed('a key of sixteen characters', 12)).toBe(hashed('a key of sixteen characters', '12'))
  expect(hashed('another key of sixteen', 'B-12')).not.toBe(hashed('a key of sixteen characters', 'B-12'))
  expect(() => createPrivacy(contracts)).toThrow('there is no key for hashes')
})

test('a kind without a contract, and fields that are not its contract’s, are hidden by the name of the field', () => {
  const privacy = createPrivacy(contextOf([doorWith()]).contracts, { hashKey: 'a key of sixteen characters' })
  const block = blockOf('d-1', 'dor', [{ timeMs: T, values: { pin: SECRET_NUMBER, opened: 3 } }])
  expect(privacy.hide(block).columns.map(({ values }) => values[0])).toEqual([MASKED, 3])
})

test('a sensitive field under another unit, or spelled otherwise, is hidden, too, wherever it goes', () => {
  const scales = contractSchema.parse({
    kind: 'scales',
    version: 1,
    description: 'Who weighs what.',
    interval: '1s',
    policy: { unit: 'pass', unknown_field: 'pass' },
    fields: {
      weight_kg: { type: 'float', label: 'Weight', sensitivity: 'mask' },
      height_m: { type: 'float', label: 'Height' },
    },
  })
  const context = contextOf([scales])
  const state = stateFor(context)
  const effects = createEffects()
  const values = { weight_lb: SECRET_NUMBER, Weight_KG: SECRET_NUMBER, weight_g: SECRET, height_cm: 180 }
  const blocks = ['scales', 'scale'].map((kind) => blockOf('s-1', kind, [{ timeMs: T, values }]))
  step(state, intakeOf(batchOf({ sequence: 1, blocks })), context, effects)
  const said = everything(state, effects)
  expect(said).not.toMatch(SECRET_TEXT)
  expect(said).toContain('height_cm=180')
})

test('a block with nothing sensitive in it is handed on as it is', () => {
  const { contracts } = contextOf([doorWith()])
  const block = blockOf('d-1', 'door', [{ timeMs: T, values: { opened: 3 } }])
  expect(createPrivacy(contracts, { hashKey: 'a key of sixteen characters' }).hide(block)).toBe(block)
})

test('lines that the edge could not read and batches that nobody can decode are withheld, and kept on request', () => {
  const letterOf = (keepOriginals: boolean) => {
    const base = contextOf([doorWith()])
    const privacy = createPrivacy(base.contracts, { hashKey: 'a key of sixteen characters', keepOriginals })
    const context = contextOf([doorWith()], { privacy })
    const state = stateFor(context)
    const effects = createEffects()
    const original = Buffer.from(`{"badge":"${SECRET}`)
    const deadLetters = [
      {
        input: 'serial',
        device: 'd-1',
        reason: 'not_json',
        detail: `not JSON: ${original}`,
        receivedAtMs: T,
        original,
        originalBytes: original.length,
        readingCount: 1,
      },
    ]
    step(state, intakeOf(batchOf({ sequence: 1, deadLetters })), context, effects)
    const refused = { site: 'workshop', agent: 'agent-a', streamSequence: 2, receivedAtMs: T, batch: undefined }
    const poison = { ...refused, reason: 'malformed', detail: 'no batch', bytes: original, header: undefined }
    step(state, poison, context, effects)
    return { text: everything(state, effects), bytes: effects.deadLetters.map(({ originalBytes }) => originalBytes) }
  }
  expect(letterOf(false).text).not.toMatch(SECRET_TEXT)
  expect(letterOf(false).text).toContain('the original is withheld: contracts have sensitive fields')
  expect(letterOf(false).bytes).toEqual([22, 22])
  expect(letterOf(true).text).toMatch(SECRET_TEXT)
})

const secret = fc.constantFrom<string | number>(SECRET, SECRET_NUMBER, String(SECRET_NUMBER), SECRET_NUMBER + 0.5)
const policies = fc.constantFrom('reject', 'flag', 'pass')
const batches = fc.array(
  fc.record({
    kind: fc.constantFrom('door', 'dor'),
    as: fc.constantFrom('samples', 'rollup'),
    atMs: fc.constantFrom(0, 10_000, 400 * 86_400_000),
    samples: fc.array(fc.dictionary(fc.constantFrom('badge', 'pin', 'owner'), secret, { minKeys: 1 }), {
      minLength: 1,
      maxLength: 5,
    }),
    extra: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8 },
)

test('no secret leaves a step or stays in its state, whatever comes, in any type, under any policy', () => {
  fc.assert(
    fc.property(
      fc.record({
        type: policies,
        unit: policies,
        range: policies,
        interval: policies,
        unknown_field: policies,
        missing_field: policies,
      }),
      batches,
      (policy, plans) => {
        const context = contextOf([doorWith(policy)])
        const state = stateFor(context)
        const effects = createEffects()
        let readingsBefore = 0
        let said = ''
        for (const [i, { kind, as, atMs, samples, extra }] of plans.entries()) {
          const rows = samples.map(
            (values, n): SampleValues => ({
              timeMs: (atMs > 20_000 ? RECEIVED_AT_MS : T) + atMs + n * 300,
              values: { ...values, opened: n, ...(extra ? { colour: 'red' } : {}) },
            }),
          )
          const sequence = i + 1
          const oneType = rows.map(({ timeMs, values }) => ({
            timeMs,
            values: { ...values, pin: SECRET_NUMBER, badge: SECRET },
          }))
          const plan =
            as === 'samples'
              ? { blocks: [blockOf('d-1', kind, rows)] }
              : {
                  rollups: [
                    rollupOf(
                      'd-1',
                      oneType.map(({ timeMs, values: { badge, pin } }) => ({ timeMs, values: { badge, pin } })),
                      { kind },
                    ),
                  ],
                }
          clearEffects(effects)
          const batch = batchOf({ sequence, readingsBefore, completeThroughMs: T + i * 20_000, ...plan })
          step(state, intakeOf(batch, { streamSequence: sequence }), context, effects)
          readingsBefore += readingsOf(batch.blocks)
          said += everything(state, effects)
        }
        expect(said).not.toMatch(SECRET_TEXT)
        expect(Buffer.from(encodeState(state)).includes(Buffer.from(new Float64Array([SECRET_NUMBER]).buffer))).toBe(
          false,
        )
        const [row] = accountOf(state, 0, 60_000)
        expect(row?.produced).toBe((row?.stored ?? 0) + (row?.deadLettered ?? 0) + (row?.shed ?? 0))
      },
    ),
    { numRuns: 300 },
  )
})
