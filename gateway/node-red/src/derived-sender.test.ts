import { contractSchema } from '@tributary/protocol'
import { createLogger } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDerivedSender, type DerivedSender, QUEUE_MAX } from './derived-sender.ts'

const signal = new AbortController().signal
const contracts = new Map([
  [
    'climate',
    contractSchema.parse({
      kind: 'climate',
      version: 1,
      description: 'Air.',
      interval: '1s',
      fields: {
        temperature_c: { type: 'float', label: 'Temperature', range: [-40, 125] },
        count: { type: 'integer', label: 'Count' },
      },
    }),
  ],
])
let clock: ReturnType<typeof createSimulatedClock>
let sender: DerivedSender
/** How the gateway answers, and what it was sent. */
let answer: () => Response
let posted: number[]

beforeEach(async () => {
  clock = createSimulatedClock()
  posted = []
  answer = () => new Response(null, { status: 204 })
  const request = async (_method: string, _path: string, body: unknown) => {
    posted.push((body as { samples: unknown[] }).samples.length)
    return answer()
  }
  sender = createDerivedSender({ request }, contracts, { clock, log: createLogger('site-view', 'silent') })
  await sender.start(signal)
})
afterEach(() => sender.stop(signal))

const sample = (fields: object = { temperature_c: 20 }, kind = 'climate') => ({
  device: 'hall',
  kind,
  timeMs: 1,
  fields,
})
/** What became of it; undefined: nothing yet. */
function watch(given: unknown) {
  const watched: { outcome?: string } = {}
  sender.send(given).then(
    () => Object.assign(watched, { outcome: 'stored' }),
    (error: Error) => Object.assign(watched, { outcome: error.message }),
  )
  return watched
}

test('samples go in few requests, and are stored when the gateway says so', async () => {
  const all = Array.from({ length: 700 }, () => watch(sample()))
  await clock.advance(300)
  expect(posted).toEqual([500])
  await clock.advance(300)
  expect(posted).toEqual([500, 200])
  expect(all.every(({ outcome }) => outcome === 'stored')).toBe(true)
  expect(sender.stored).toBe(700)
})

test('while the gateway takes nothing they wait, so many and no more, and go when it does', async () => {
  answer = () => Response.json({ error: 'too fast' }, { status: 429 })
  const all = Array.from({ length: QUEUE_MAX + 5 }, () => watch(sample()))
  await clock.advance(20_000)
  expect(sender.problem).toContain('429')
  expect(sender.waiting).toBe(QUEUE_MAX)
  expect(sender.dropped).toBe(5)
  expect(all.at(-1)?.outcome).toMatch(/dropped: 1000 samples wait/)
  answer = () => new Response(null, { status: 204 })
  await clock.advance(40_000)
  expect(sender.stored).toBe(QUEUE_MAX)
  expect(sender.problem).toBeUndefined()
})

test('what the gateway will never take blocks nothing behind it', async () => {
  answer = () => Response.json({ error: 'no' }, { status: 400 })
  const first = watch(sample())
  await clock.advance(300)
  expect(first.outcome).toContain('400')
  answer = () => new Response(null, { status: 204 })
  const second = watch(sample())
  await clock.advance(300)
  expect(second.outcome).toBe('stored')
})

test('what breaks its contract is said at once, and never sent', async () => {
  const outcomes = [
    sample({ temperature_c: 20 }, 'nothing'),
    sample({ humidity: 3 }),
    sample({ temperature_c: 'warm' }),
    sample({ count: 1.5 }),
    sample({ temperature_c: 500 }),
    sample({ temperature_c: Number.NaN }),
    { ...sample(), device: 'Hall One' },
    'text',
  ].map(watch)
  await clock.advance(300)
  expect(outcomes.map(({ outcome }) => outcome)).toEqual([
    expect.stringContaining('no contract for "nothing"'),
    'the contract of climate has no field "humidity"',
    'temperature_c: "warm" is no float',
    'count: 1.5 is no integer',
    'temperature_c: 500 is not within -40 to 125',
    expect.stringContaining('temperature_c'),
    expect.stringContaining('device: lower-case'),
    expect.any(String),
  ])
  expect(posted).toEqual([])
  expect(sender.dropped).toBe(outcomes.length)
})
