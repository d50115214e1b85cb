import { describe, expect, test } from 'vitest'
import { alertStory, T, watchedContract } from '../alert-story.ts'
import { payloadOf } from '../notifiers/index.ts'
import { contextOf } from '../testing.ts'
import { rulesSchema } from './rules-file.ts'

const watched = watchedContract()
const LOW = 5
const HIGH = 12

/** Alerts fire with their first reading, and are over with the first ordinary one. */
function story(file: object = {}, receivers = ['people'], groupingReceivers: string[] = []) {
  const rule = { name: 'high', match: { detector: 'threshold' }, keep_firing_for: '0s' }
  // Agents speak when they have something to say here.
  const contextFor = (given: object) => {
    const rules = rulesSchema.parse({ rules: [rule], unreachable: { after: '2h' }, ...given })
    return contextOf([watched], { rules, receivers, groupingReceivers })
  }
  const s = alertStory(contextFor(file))
  /** What was told since the last look: `receiver state device`, sorted. */
  const told = () =>
    s.told.splice(0).map((one) => {
      const [receiver, key = ''] = one.split(' ')
      const [episode = '', what] = key.split('/')
      return `${receiver} ${what} ${deviceOf.get(episode) ?? episode}`
    })
  const deviceOf = new Map<string, string>()
  const episodes = new Map<string, string>()
  return Object.assign(s, {
    level(second: number, levels: Readonly<Record<string, number>>, agent = 'pi-1', site = 'plant') {
      const given = Object.entries(levels).map(([device, level]) => [device, [[second, level]] as const] as const)
      s.give(agent, second, Object.fromEntries(given), { site })
      for (const { id, device } of Object.values(s.state.alerts.episodes)) {
        deviceOf.set(id, device)
        episodes.set(device, id)
      }
    },
    news: told,
    episode: (device: string) => episodes.get(device) as string,
    ticks(from: number, to: number) {
      for (let second = from; second <= to; second += 5) s.tick(second)
    },
    reload: (given: object) => s.adopt(contextFor(given)),
    held: () => s.lines.filter((line) => line.includes('held=')).map((line) => /held="(\w+)/.exec(line)?.[1]),
  })
}

describe('inhibition', () => {
  const inhibit = [{ when: { device: 'main-*' }, suppress: { rule: 'high' }, same: ['site'] }]

  test('what another alert says already is recorded, not told; when that ends and it still fires, it is told', () => {
    const s = story({ inhibit })
    s.level(1, { 'main-1': HIGH })
    s.level(2, { 'pump-1': HIGH, 'pump-2': HIGH })
    expect(s.news()).toEqual(['people firing main-1'])
    expect(s.held()).toEqual(['inhibited', 'inhibited'])
    s.restart()
    s.level(3, { 'pump-2': LOW })
    s.level(4, { 'main-1': LOW })
    expect(s.news()).toEqual(['people resolved main-1', 'people firing pump-1'])
    s.level(5, { 'pump-1': LOW })
    expect(s.news()).toEqual(['people resolved pump-1'])
    expect(s.state.desk.firing).toEqual({})
  })

  test('at another site it does nothing, and of two that would inhibit each other none does', () => {
    const s = story({ inhibit })
    s.level(1, { 'main-1': HIGH, 'main-2': HIGH })
    expect(s.news()).toEqual(['people firing main-1', 'people firing main-2'])
    s.level(2, { 'pump-1': HIGH }, 'pi-9', 'yard')
    expect(s.news()).toEqual(['people firing pump-1'])
  })

  test('who was told of it before is told its end', () => {
    const s = story({ inhibit })
    s.level(1, { 'pump-1': HIGH })
    s.level(2, { 'main-1': HIGH })
    s.level(3, { 'pump-1': LOW })
    expect(s.news()).toEqual(['people firing pump-1', 'people firing main-1', 'people resolved pump-1'])
  })

  test('in one batch they count in the order of time, whatever the order of blocks', () => {
    const s = story({ inhibit })
    s.give('pi-1', 3, { 'pump-1': [[2, HIGH]], 'main-1': [[1, HIGH]] })
    expect(s.told).toHaveLength(1)
    s.give('pi-1', 5, { 'pump-1': [[4.5, LOW]], 'main-1': [[4, LOW]] })
    // Between 4 and 4.5 s nothing inhibited it.
    expect(s.told.map((one) => one.split('/')[1])).toEqual(['firing', 'resolved', 'firing', 'resolved'])
  })
})

describe('silences', () => {
  const silence = { action: 'silence' as const, id: 'abcdef01', match: { device: ['pump-*'] }, forMs: 60_000 }

  test('keep people from being told until they end by themselves', () => {
    const s = story()
    s.tick(1)
    expect(s.ask(2, silence)).toBe('done')
    expect(s.ask(2, silence)).toBe('unchanged: there is a silence abcdef01 already')
    s.level(3, { 'pump-1': HIGH, 'pump-2': HIGH, 'fan-1': HIGH })
    expect(s.news()).toEqual(['people firing fan-1'])
    expect(s.held()).toEqual(['silenced', 'silenced'])
    s.level(4, { 'pump-2': LOW })
    s.restart()
    s.ticks(10, 60)
    expect(s.news()).toEqual([])
    s.tick(65)
    expect(s.news()).toEqual(['people firing pump-1'])
    expect(s.state.desk.silences).toEqual({})
  })

  test('or somebody ends them', () => {
    const s = story()
    s.ask(2, silence)
    s.level(3, { 'pump-1': HIGH })
    expect(s.ask(4, { action: 'end_silence', id: 'abcdef01' })).toBe('done')
    expect(s.news()).toEqual(['people firing pump-1'])
    expect(s.ask(5, { action: 'end_silence', id: 'abcdef01' })).toMatch(/^unknown: no silence is abcdef01/)
  })

  test('are limited in number', () => {
    const s = story()
    for (let i = 0; i < 1_000; i++) s.ask(2, { ...silence, id: i.toString(16).padStart(8, '0') })
    expect(s.ask(2, { ...silence, id: 'ffffffff' })).toBe('refused: there are 1000 silences already; end some')
  })
})

describe('acknowledgement, escalation, repetition', () => {
  const rule = { name: 'high', match: { detector: 'threshold' }, keep_firing_for: '0s', notify: ['people'] }
  const rules = [{ ...rule, escalate: { after: '60s', notify: ['boss'] }, repeat: '2m' }]
  const both = ['people', 'boss']

  test('without one, a second receiver is told in time, once, and who was told is told again and again', () => {
    const s = story({ rules }, both)
    s.level(1, { 'pump-1': HIGH })
    expect(s.news()).toEqual(['people firing pump-1'])
    s.ticks(5, 60)
    expect(s.news()).toEqual([])
    s.restart()
    s.ticks(65, 120)
    expect(s.news()).toEqual(['boss escalated pump-1'])
    s.ticks(125, 125)
    expect(s.news()).toEqual(['people firing-1 pump-1', 'boss firing-1 pump-1'])
    s.ticks(130, 245)
    expect(s.news()).toEqual(['people firing-2 pump-1', 'boss firing-2 pump-1'])
    s.level(250, { 'pump-1': LOW })
    expect(s.news()).toEqual(['people resolved pump-1', 'boss resolved pump-1'])
    expect(s.transitions).toEqual(['firing pump-1 high', 'escalated pump-1 high', 'resolved pump-1 high'])
  })

  test('with one, nobody; who and why is recorded, behind the firing and before the end', () => {
    const s = story({ rules }, both)
    s.level(1, { 'pump-1': HIGH })
    const asked = { action: 'acknowledge', episode: s.episode('pump-1'), by: 'ann', comment: 'on my way' } as const
    expect(s.ask(3, asked)).toBe('done')
    expect(s.ask(4, { ...asked, by: 'bob' })).toBe('unchanged: ann acknowledged it at 2026-01-01T00:00:03.000Z')
    s.restart()
    s.ticks(5, 600)
    s.level(605, { 'pump-1': LOW })
    expect(s.news()).toEqual(['people firing pump-1', 'people resolved pump-1'])
    const alerts = s.lines.filter((line) => line.startsWith('alert'))
    expect(alerts.map((line) => /state="(\w+)".* (\d+)$/.exec(line)?.slice(1))).toEqual([
      ['firing', String(T + 1_000)],
      ['acknowledged', String(T + 1_001)],
      ['resolved', String(T + 605_000)],
    ])
    expect(alerts[1]).toContain('by="ann",comment="on my way"')
    expect(s.ask(610, asked)).toBe(`unknown: no firing alert is ${asked.episode}`)
  })

  test('who is spared the alert is spared its reminders', () => {
    const s = story({ rules }, both)
    s.level(1, { 'pump-1': HIGH })
    s.ask(2, { action: 'silence', id: 'abcdef01', match: { rule: ['high'] }, forMs: 300_000 })
    s.ticks(5, 300)
    expect(s.news()).toEqual(['people firing pump-1'])
    s.ticks(305, 305)
    expect(s.news()).toEqual(['people firing-1 pump-1', 'boss escalated pump-1'])
  })

  test('what nobody is told at first may escalate all the same', () => {
    const s = story({ rules: [{ ...rules[0], notify: [], repeat: undefined }] }, both)
    s.level(1, { 'pump-1': HIGH })
    s.ticks(5, 65)
    expect(s.news()).toEqual(['boss escalated pump-1'])
    s.level(70, { 'pump-1': LOW })
    expect(s.news()).toEqual(['boss resolved pump-1'])
  })

  test('each is entered at a time of its own, and the end behind them, also when the device is not heard of any more', () => {
    const s = story({ rules }, both)
    s.level(1, { 'pump-1': HIGH })
    s.ticks(5, 65)
    s.ask(66, { action: 'acknowledge', episode: s.episode('pump-1') })
    // Another agent speaks a week later.
    s.give('pi-2', 700_000, { 'fan-1': [[700_000, LOW]] })
    const alerts = s.lines.filter((line) => line.startsWith('alert'))
    expect(alerts.map((line) => /state="(\w+)".* (\d+)$/.exec(line)?.slice(1))).toEqual([
      ['firing', String(T + 1_000)],
      ['escalated', String(T + 1_001)],
      ['acknowledged', String(T + 1_002)],
      ['resolved', String(T + 1_003)],
    ])
  })

  test('a rule that is deleted, or says otherwise, while its alert fires: who was told is told the end, by its name', () => {
    const once = { escalate: undefined, repeat: undefined }
    for (const after of [{ rules: [] }, { rules: [{ ...rules[0], ...once, notify: ['boss'] }] }]) {
      const s = story({ rules: [{ ...rules[0], repeat: undefined }] }, both)
      s.level(1, { 'pump-1': HIGH })
      expect(s.news()).toEqual(['people firing pump-1'])
      s.reload(after)
      s.ticks(5, 200)
      expect(s.news()).toEqual([])
      s.level(205, { 'pump-1': LOW })
      expect(s.news()).toEqual(['people resolved pump-1'])
      expect(s.transitions).toEqual(['firing pump-1 high', 'resolved pump-1 high'])
    }
  })

  test('a processor that was away escalates nothing before people had the time to see it', () => {
    const s = story({ rules }, both)
    s.tick(0)
    // Ten minutes of batches at once, and no ticks among them.
    for (let second = 1; second < 600; second++) s.level(second, { 'pump-1': second < 10 ? LOW : HIGH })
    s.ticks(600, 655)
    expect(s.news()).toEqual(['people firing pump-1'])
    s.tick(660)
    expect(s.news()).toEqual(['boss escalated pump-1'])
  })
})

describe('groups', () => {
  const group = { wait: '10s', interval: '60s' }

  test('what begins together is told together, what comes later seldom, and each end once', () => {
    const s = story({ group })
    s.level(1, { 'pump-1': HIGH, 'pump-2': HIGH })
    s.level(3, { 'pump-3': HIGH })
    s.ticks(5, 10)
    expect(s.told).toEqual([])
    s.restart()
    let sent: ReturnType<typeof payloadOf> | undefined
    s.onTold = (notification) => {
      sent = payloadOf(notification)
    }
    s.tick(15)
    expect(s.told).toHaveLength(1)
    expect(sent).toMatchObject({
      state: 'firing',
      reason: 'group',
      rule: 'high',
      site: 'plant',
      device: '*',
      value: 3,
      message: '3 alerts of high since 2026-01-01 00:00:01 UTC: 3 firing: pump-1 level, pump-2 level, pump-3 level',
    })
    expect(sent?.episodes?.map(({ device, state }) => `${device} ${state}`)).toEqual([
      'pump-1 firing',
      'pump-2 firing',
      'pump-3 firing',
    ])
    // One comes and goes, one ends, one begins.
    s.level(20, { 'pump-4': HIGH, 'pump-5': HIGH })
    s.level(22, { 'pump-4': LOW, 'pump-1': LOW })
    s.ticks(25, 70)
    expect(s.told).toHaveLength(1)
    s.tick(75)
    expect(sent?.episodes?.map(({ device, state }) => `${device} ${state}`)).toEqual([
      'pump-5 firing',
      'pump-1 resolved',
      'pump-4 resolved',
    ])
    // One alone is told as if there were no groups.
    s.level(80, { 'pump-2': LOW })
    s.ticks(85, 140)
    expect(sent).toMatchObject({ key: `${s.episode('pump-2')}/resolved`, state: 'resolved', device: 'pump-2' })
    expect(new Set(s.told).size).toBe(3)
    s.ticks(145, 300)
    expect(s.state.desk.bundles).toEqual({})
  })

  test('a receiver that groups by itself is told each alone, at once, beyond the limit too', () => {
    const s = story({ group, limit: { per_hour: 1 } }, ['am', 'people'], ['am'])
    s.level(1, { 'pump-1': HIGH, 'pump-2': HIGH })
    s.level(3, { 'pump-1': LOW })
    expect(s.news()).toEqual(['am firing pump-1', 'am firing pump-2', 'am resolved pump-1'])
    s.ticks(5, 15)
    expect(s.told).toEqual([expect.stringMatching(/^people /)])
  })

  test('of different rules and sites are apart', () => {
    const s = story({ group })
    s.level(1, { 'pump-1': HIGH, 'pump-2': HIGH })
    s.level(1, { 'pump-1': HIGH }, 'pi-9', 'yard')
    s.ticks(5, 15)
    expect(s.told).toHaveLength(2)
  })
})

describe('the limit', () => {
  const limit = { per_hour: 3, digest: '10m' }

  test('beyond it, one digest counts and names; after the hour all is as before', () => {
    const s = story({ limit })
    let digest: ReturnType<typeof payloadOf> | undefined
    s.onTold = (notification) => {
      if (notification.reason === 'digest') digest = payloadOf(notification)
    }
    for (let i = 1; i <= 150; i++) s.level(i, { [`pump-${i}`]: HIGH })
    s.level(151, { 'pump-1': LOW, 'pump-5': LOW })
    expect(s.told).toHaveLength(3)
    s.ticks(155, 750)
    expect(s.told).toHaveLength(3)
    s.restart()
    s.tick(755)
    expect(s.told).toHaveLength(4)
    expect(digest).toMatchObject({ state: 'firing', rule: 'digest', value: 148 })
    expect(digest?.episodes).toHaveLength(100)
    expect(digest?.message).toMatch(
      /^148 notifications beyond the limit of this hour, since 2026-01-01 00:00:\d\d UTC: \d+ firing: pump-4 level, pump-6 level, .*, …; .*; 48 more that are not named$/,
    )
    s.ticks(760, 3_600)
    expect(s.told).toHaveLength(4)
    s.tick(3_605)
    s.level(3_606, { 'pump-200': HIGH })
    expect(s.told).toHaveLength(5)
    expect(s.state.desk.bundles).toEqual({})
  })
})

describe('an end never overtakes its beginning', () => {
  const ended = (sent: ReturnType<typeof payloadOf> | undefined) =>
    sent?.episodes?.map(({ device, state }) => `${device} ${state}`) ?? [`${sent?.device} ${sent?.state}`]

  test('that waits in a digest, although the hour of the limit is over', () => {
    const s = story({ limit: { per_hour: 1, digest: '10m' } })
    const sent: string[][] = []
    s.onTold = (notification) => void sent.push(ended(payloadOf(notification)))
    s.level(1, { 'pump-1': HIGH })
    s.ticks(5, 3_500)
    s.level(3_501, { 'pump-2': HIGH, 'pump-3': HIGH })
    s.ticks(3_505, 3_700)
    s.level(3_701, { 'pump-2': LOW })
    s.restart()
    s.ticks(3_705, 4_200)
    expect(sent).toEqual([['pump-1 firing'], ['pump-3 firing', 'pump-2 resolved']])
  })

  test('that waits in a group, although there are no groups any more', () => {
    const s = story({ group: { wait: '60s', interval: '5m' } })
    const sent: string[][] = []
    s.onTold = (notification) => void sent.push(ended(payloadOf(notification)))
    s.level(1, { 'pump-1': HIGH, 'pump-2': HIGH })
    s.reload({})
    s.level(2, { 'pump-2': LOW })
    s.tick(5)
    expect(sent).toEqual([['pump-1 firing', 'pump-2 resolved']])
  })
})

test('a clock of the stream that was ahead and is set back keeps nobody waiting', () => {
  const s = story({ group: { wait: '10s', interval: '60s' } })
  s.tick(7_200)
  s.level(7_201, { 'pump-1': HIGH })
  s.tick(7_205)
  s.ticks(100, 115)
  expect(s.told).toHaveLength(1)
})

test('notifications are dated by the stream; what stood at receivers that are gone is forgotten', () => {
  const s = story()
  let queuedAtMs: number | undefined
  s.onTold = (notification) => {
    queuedAtMs = notification.queuedAtMs
  }
  s.level(1, { 'pump-1': HIGH })
  const [transition] = Object.values(s.state.desk.firing).map((alert) => alert.transition)
  if (transition === undefined) throw new Error('nothing fires')
  expect(queuedAtMs).toBe(T + 1_000)
  const standing = [{ key: 'a/firing', transition }]
  s.state.outbox.standing = { people: standing, gone: standing }
  s.tick(5)
  expect(s.state.outbox.standing).toEqual({ people: standing })
})
