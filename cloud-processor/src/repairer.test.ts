import { createLogger } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import type { InfluxQuery } from './influx-query.ts'
import { POINTS_MAX, RANGES_MAX } from './repair-queries.ts'
import { createRepairer } from './repairer.ts'
import type { DirtyWindow } from './state.ts'
import { mixedContract } from './testing.ts'

const contracts = new Map([['mixed', mixedContract]])
const log = createLogger('test', 'silent')
const ANSWER_MS = 100

/** A database that takes a while, and lists that are never empty. */
function working(share: number, answer: () => Promise<void> = async () => undefined) {
  const clock = createSimulatedClock()
  const given = [0, 0]
  const questions: { text: string; askedAtMs: number }[] = []
  let busyMs = 0
  let asking = 0
  const query = async (text: string) => {
    asking += 1
    expect(asking, 'one question at a time').toBe(1)
    questions.push({ text, askedAtMs: clock.monotonicMs() })
    await clock.sleep(ANSWER_MS)
    busyMs += ANSWER_MS
    asking -= 1
    await answer()
    return []
  }
  const due: DirtyWindow[] = Array.from({ length: 2_000 }, (_, i) => ({
    site: 'a',
    device: `pump-${i % 50}`,
    kind: 'mixed',
    widthMs: 10_000,
    startMs: i * 20_000,
  }))
  const lists = given.map((_, i) => ({
    due,
    contracts,
    give: (all: readonly unknown[]) => {
      given[i] = (given[i] as number) + all.length
    },
  }))
  const repairer = createRepairer(
    { share },
    { query: Object.assign(query, { close: async () => undefined }) as InfluxQuery, lists, clock, log },
  )
  return { clock, given, questions, repairer, busyMs: () => busyMs }
}

test('the database is busy with it for no more than its share of the time, and partitions take turns', async () => {
  const stop = new AbortController()
  const { clock, given, repairer, busyMs } = working(0.1)
  const running = repairer.run(stop.signal)
  await clock.advance(60_000)
  expect(busyMs()).toBeGreaterThan(60_000 * 0.08)
  expect(busyMs()).toBeLessThanOrEqual(60_000 * 0.1 + 2 * ANSWER_MS)
  expect(given[0]).toBeGreaterThan(100)
  expect(Math.abs((given[0] as number) - (given[1] as number))).toBeLessThanOrEqual(RANGES_MAX)
  stop.abort()
  await clock.advance(60_000)
  await running
})

test('an answer that took minutes, as while the process stood still, is followed by a pause of one', async () => {
  const stop = new AbortController()
  const { clock, questions, repairer } = working(0.1, () => clock.sleep(300_000))
  const running = repairer.run(stop.signal)
  await clock.advance(2_000_000)
  const pauses = questions.slice(1).map(({ askedAtMs }, i) => askedAtMs - (questions[i]?.askedAtMs as number))
  expect(pauses.length).toBeGreaterThan(3)
  expect(Math.max(...pauses)).toBe(300_000 + ANSWER_MS + 60_000)
  stop.abort()
  await clock.advance(1_000_000)
  await running
})

test('a question is bounded: so many stretches of a device, so many points of each', async () => {
  const stop = new AbortController()
  const { clock, questions, repairer } = working(0.5)
  const running = repairer.run(stop.signal)
  await clock.advance(ANSWER_MS)
  const [{ text } = { text: '' }] = questions
  expect(text.split(';').length).toBeLessThanOrEqual(RANGES_MAX)
  expect(text.match(/"device" = /g)?.length).toBe(RANGES_MAX)
  for (const statement of text.split(';')) expect(statement).toMatch(new RegExp(`LIMIT ${POINTS_MAX}$`))
  stop.abort()
  await clock.advance(60_000)
  await running
})

test('a database that fails is asked with growing delays, a minute apart at most', async () => {
  const stop = new AbortController()
  const { clock, questions, given, repairer } = working(0.1, async () => {
    throw new Error('out of memory')
  })
  const running = repairer.run(stop.signal)
  await clock.advance(600_000)
  expect(repairer.error).toBe('out of memory')
  expect(given).toEqual([0, 0])
  const pauses = questions.slice(1).map(({ askedAtMs }, i) => askedAtMs - (questions[i]?.askedAtMs as number))
  expect(Math.max(...pauses)).toBeLessThanOrEqual(60_000 + ANSWER_MS)
  expect(pauses.at(-1)).toBeGreaterThanOrEqual(30_000)
  expect(questions.length).toBeLessThan(30)
  stop.abort()
  await clock.advance(60_000)
  await running
})
