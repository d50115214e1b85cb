/** People are told the same, whenever the process dies: nothing is lost, and what comes twice has its key and says the same. */
import { contractSchema, encodeBatch, type OperatorRequest, operatorSubject, tickSubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { rulesSchema } from './alerts/index.ts'
import type { StepContext } from './batch-scope.ts'
import { begin, createWorld, type World } from './loop-harness.ts'
import type { Notifier } from './notifiers/index.ts'
import { payloadOf } from './notifiers/index.ts'
import { batchOf, blockOf, contextOf, mixedContract, readingsOf } from './testing.ts'

const START_MS = 1_767_225_600_000
const watched = contractSchema.parse({ ...mixedContract, interval: '1s', thresholds: [{ field: 'level', above: 10 }] })
const rules = rulesSchema.parse({
  rules: [
    {
      name: 'high',
      keep_firing_for: '0s',
      notify: ['people'],
      escalate: { after: '3s', notify: ['boss'] },
      repeat: '1m',
    },
  ],
  inhibit: [{ when: { device: 'main' }, suppress: { device: 'pump-2' } }],
  limit: { per_hour: 6, digest: '2s' },
})
/** Each life has its own. */
const context = (): StepContext => contextOf([watched], { rules, receivers: ['people', 'boss'] })

const LOW = 5
const HIGH = 12
type Levels = Record<string, number>
/** One message a second. */
const STORY: (Levels | 'tick' | object)[] = [
  { main: LOW, 'pump-1': LOW },
  { 'pump-1': HIGH },
  'tick',
  { main: HIGH },
  { 'pump-2': HIGH },
  { action: 'silence', id: 'abcdef01', match: { device: ['pump-3'] }, forMs: 4_000 },
  { 'pump-3': HIGH },
  'tick',
  { main: LOW },
  'tick',
  'tick',
  { 'pump-2': LOW, 'pump-4': HIGH, 'pump-5': HIGH, 'pump-6': HIGH },
  { 'pump-1': LOW, 'pump-4': LOW },
  'tick',
  'tick',
  'tick',
  'tick',
]

function world(strikeAt: number): World {
  let sequence = 0
  let readingsBefore = 0
  const subjects = new Map<number, string>()
  const messages = STORY.map((one, i) => {
    const atMs = START_MS + (i + 1) * 1_000
    if (one === 'tick') subjects.set(i + 1, tickSubject(12))
    if (one === 'tick') return Buffer.alloc(0)
    if ('action' in (one as object)) {
      subjects.set(i + 1, operatorSubject(12))
      const request = { request: 'test', by: 'ann', comment: '', ...(one as object) } as OperatorRequest
      return Buffer.from(JSON.stringify(request))
    }
    sequence += 1
    const blocks = Object.entries(one as Levels).map(([device, level]) =>
      blockOf(device, 'mixed', [{ timeMs: atMs, values: { level } }]),
    )
    const batch = batchOf({ sequence, readingsBefore, completeThroughMs: atMs + 1, blocks })
    readingsBefore += readingsOf(blocks)
    return encodeBatch(batch)
  })
  const made = createWorld(strikeAt, { messages })
  for (const [seq, subject] of subjects) made.subjects.set(seq, subject)
  return made
}

/** What each receiver was told, by key; a key that says something else when it comes again is a mistake. */
function receivers() {
  const told = new Map<string, string>()
  const notifiers = ['people', 'boss'].map(
    (name): Notifier => ({
      name,
      send: async (notification) => {
        const said = JSON.stringify(payloadOf(notification))
        const key = `${name} ${notification.key}`
        expect(told.get(key) ?? said).toBe(said)
        told.set(key, said)
        return 'taken'
      },
    }),
  )
  return { told, notifiers }
}

test('killed before and after each numbered line: people are told the same, by the same keys', async () => {
  const calm = receivers()
  expect(await begin(world(Number.NaN), context(), { notifiers: calm.notifiers }).outcome).not.toBe('struck')
  const kinds = [...calm.told.values()].map((said) => {
    const { state, reason = '', device } = JSON.parse(said)
    return `${state} ${reason} ${device}`.replace('  ', ' ')
  })
  expect(kinds.sort()).toEqual(
    [
      ...['firing pump-1', 'firing main', 'resolved main', 'firing pump-2', 'firing pump-3', 'resolved pump-2'],
      ...['firing escalated pump-1', 'resolved pump-1', 'firing digest *'],
      ...['firing escalated pump-3', 'firing escalated pump-5', 'firing escalated pump-6'],
    ].sort(),
  )
  const deaths: string[] = []
  // How many checkpoints there are depends on how long they take: the last deaths may have nothing to interrupt.
  for (let strikeAt = 0, survivals = 0; survivals < 6; strikeAt++) {
    const broken = world(strikeAt)
    const { told, notifiers } = receivers()
    if ((await begin(broken, context(), { notifiers }).outcome) !== 'struck') {
      survivals += 1
      continue
    }
    deaths.push(broken.struckAt)
    expect(await begin(broken, context(), { notifiers }).outcome).not.toBe('struck')
    expect([...told].sort(), `killed ${broken.struckAt} (${strikeAt})`).toEqual([...calm.told].sort())
  }
  for (const line of ['lines', 'checkpoint', 'acknowledgement'])
    expect(deaths).toEqual(expect.arrayContaining([`before ${line}`, `after ${line}`]))
}, 120_000)

test('while the store takes nothing the loop comes to no end of the stream, and so no more ticks are made', async () => {
  const stuck = world(Number.NaN)
  let goOn: () => void = () => undefined
  stuck.standing = new Promise((resolve) => {
    goOn = resolve
  })
  stuck.strikeAt = 'before lines'
  const { loop, outcome, end } = begin(stuck, context())
  expect(await outcome).toBe('struck')
  await systemClock.sleep(100)
  const cameTo = loop.caughtUp
  await systemClock.sleep(200)
  expect(loop.caughtUp).toBe(cameTo)
  goOn()
  await end
  expect(loop.caughtUp).toBeGreaterThan(cameTo)
})
