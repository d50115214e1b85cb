import { contractSchema } from '@tributary/protocol'
import { describe, expect, test } from 'vitest'
import { alertStory } from './alert-story.ts'
import { rulesSchema } from './alerts/index.ts'
import { contextOf } from './testing.ts'

const watched = contractSchema.parse({
  kind: 'watched',
  version: 1,
  description: 'A level that somebody cares about.',
  interval: '1s',
  fields: { level: { type: 'float', label: 'Level', range: [0, 100] } },
})
const GOOD = 50
const REFUSED = 500

/** Ten refused readings of a pump within 100 s; an agent that speaks when it has something to say. */
const story = (file: object = { violations: [{ match: { device: 'pump-*' }, count: 10, within: '100s' }] }) =>
  alertStory(contextFor(file))
const contextFor = (file: object) =>
  contextOf([watched], { rules: rulesSchema.parse({ unreachable: { after: '2h' }, ...file }), receivers: ['people'] })
const each = (seconds: readonly number[], level: number) => seconds.map((second) => [second, level] as const)
const from = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i)

describe('readings that a contract refuses', () => {
  test('are an alert of their device when there are many in a time, over when few are left', () => {
    const s = story()
    s.give('pi-1', 120, { 'pump-1': each(from(101, 9), REFUSED), 'fan-1': each(from(101, 15), REFUSED) })
    expect(s.transitions).toEqual([])
    s.restart()
    s.give('pi-1', 121, { 'pump-1': [[120.5, REFUSED]] })
    expect(s.transitions).toEqual(['firing pump-1 watched.violations'])
    expect(s.lines.find((line) => line.startsWith('alert'))).toMatch(
      /^alert,detector=violations,device=pump-1,rule=watched.violations,site=plant .*value=10,message="10 readings of pump-1 were refused by the contract watched within 100 s, the last: level out_of_range" \d+$/,
    )
    // They go on, and nobody is told again; then fewer than half are left of the last 100 s.
    s.give('pi-1', 150, { 'pump-1': each(from(130, 10), REFUSED) })
    s.give('pi-1', 220, { 'pump-1': each(from(200, 10), GOOD) })
    expect(s.transitions).toHaveLength(1)
    s.restart()
    s.give('pi-1', 260, {})
    expect(s.transitions).toEqual(['firing pump-1 watched.violations', 'resolved pump-1 watched.violations'])
    expect(s.told).toHaveLength(2)
  })

  test('however they are cut into batches: the same alerts at the same times', () => {
    const seconds = [...from(101, 8), ...from(160, 6), ...from(300, 12), 900]
    const lines = [1, 3, 7, 40].map((size) => {
      const s = story()
      for (let at = 100; at < 1_000; at += size)
        s.give('pi-1', at + size, {
          'pump-1': each(
            seconds.filter((one) => one >= at && one < at + size),
            REFUSED,
          ),
        })
      s.give('pi-1', 2_000)
      return s.lines.filter((line) => line.startsWith('alert'))
    })
    expect(lines[0]?.length).toBe(4)
    for (const other of lines) expect(other).toEqual(lines[0])
  })

  test('of a backlog page nobody, and a clock that is ahead blinds nobody', () => {
    const s = story()
    s.give('pi-1', 120, { 'pump-1': each(from(101, 15), REFUSED) }, { lane: 'backlog' })
    s.give('pi-1', 300)
    expect(s.transitions).toEqual(['historical pump-1 watched.violations'])
    s.give('pi-1', 301, { 'pump-1': [[3_600, REFUSED]] })
    expect(s.told).toEqual([])
    s.give('pi-1', 420, { 'pump-1': each(from(401, 12), REFUSED) })
    expect(s.transitions.at(-1)).toBe('firing pump-1 watched.violations')
  })

  test('a limit that changes while it fires: it ends by the new one, and the next is told', () => {
    for (const [within, overBySecond] of [
      ['10s', 440],
      ['1h', 6_000],
    ] as const) {
      const s = story()
      s.give('pi-1', 420, { 'pump-1': each(from(401, 12), REFUSED) })
      s.adopt(contextFor({ violations: [{ count: 10, within }] }))
      s.give('pi-1', 421, { 'pump-1': [[420.5, GOOD]] })
      expect(s.transitions).toEqual(['firing pump-1 watched.violations'])
      s.give('pi-1', overBySecond)
      expect(s.transitions).toEqual(['firing pump-1 watched.violations', 'resolved pump-1 watched.violations'])
      s.give('pi-1', overBySecond + 20, { 'pump-1': each(from(overBySecond + 1, 12), REFUSED) })
      expect(s.transitions[2]).toBe('firing pump-1 watched.violations')
    }
  })

  test('rules say how grave it is and whom to tell; without a limit nothing is counted', () => {
    const rules = [{ name: 'bad-data', match: { detector: 'violations' }, severity: 'info', notify: [] }]
    const s = story({ rules, violations: [{ count: 1 }] })
    s.give('pi-1', 120, { 'fan-1': [[110, REFUSED]] })
    expect(s.transitions).toEqual(['firing fan-1 bad-data'])
    expect(s.told).toEqual([])
    const without = story({})
    without.give('pi-1', 120, { 'pump-1': each(from(101, 15), REFUSED) })
    expect(without.transitions).toEqual([])
  })
})
