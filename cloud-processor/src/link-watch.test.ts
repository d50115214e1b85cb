import { contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { alertStory, TICK_MS, watchedContract } from './alert-story.ts'
import { rulesSchema } from './alerts/index.ts'
import { contextOf } from './testing.ts'

const watched = watchedContract({ detectors: { silence: '30s' } })
const health = contractSchema.parse({
  kind: 'gateway_health',
  version: 1,
  description: 'Of a gateway.',
  interval: '10s',
  fields: { level: { type: 'float', label: 'Something' } },
})
const story = () => alertStory(contextOf([watched, health], { receivers: ['people'] }))
const TICK = TICK_MS / 1_000

/** Agents that speak each second, a gateway each ten, and ticks. @param isHeard whether the batch of that second comes */
function live(
  s: ReturnType<typeof story>,
  from: number,
  to: number,
  isHeard: (agent: string, second: number) => boolean = () => true,
  { ticks = (_: number): boolean => true, agents = ['pi-1', 'pi-2'] } = {},
): void {
  for (let second = from; second < to; second++) {
    for (const [a, agent] of agents.entries())
      if (isHeard(agent, second)) s.give(agent, second, { [`pump-${a + 1}`]: [[second - 0.5, 5]] })
    if (second % 10 === 0 && isHeard('gw', second))
      s.give('gw', second, { gw: [[second, 1]] }, { kind: 'gateway_health' })
    if (second % TICK === 0 && ticks(second)) s.tick(second)
  }
}

test('an agent that is gone is one alert, and its devices are not silent; when it is back it is over', () => {
  const s = story()
  live(s, 0, 200, (agent, second) => agent !== 'pi-1' || second < 50)
  expect(s.transitions).toEqual(['firing pi-1 agent_unreachable'])
  expect(s.lines.find((line) => line.startsWith('alert'))).toMatch(
    /^alert,detector=agent_unreachable,device=pi-1,rule=agent_unreachable,site=plant .*state="firing",severity="critical".*message="nothing was heard of pi-1 for .*; 1 series of devices are behind it" \d+$/,
  )
  s.restart()
  // It comes back with a backlog behind its live lane.
  live(s, 200, 260)
  expect(s.transitions).toEqual(['firing pi-1 agent_unreachable', 'resolved pi-1 agent_unreachable'])
  expect(s.told).toHaveLength(2)
})

test('a gateway that is unplugged is one alert, not one an agent nor one a sensor; agents have time to come back', () => {
  const s = story()
  const unplugged = (agent: string, second: number) => second < 50 || second >= (agent === 'pi-2' ? 440 : 400)
  live(s, 0, 500, unplugged)
  expect(s.transitions).toEqual(['firing gw gateway_unreachable', 'resolved gw gateway_unreachable'])
})

test('an agent that does not come back with its gateway is told of then', () => {
  const s = story()
  live(s, 0, 500, (agent, second) => second < 50 || (second >= 300 && agent !== 'pi-2'))
  expect(s.transitions).toEqual([
    'firing gw gateway_unreachable',
    'resolved gw gateway_unreachable',
    'firing pi-2 agent_unreachable',
  ])
})

test('a processor, or a stream, that was away makes nobody unreachable', () => {
  const s = story()
  live(s, 0, 50)
  // Nothing came into the stream for ten minutes; what comes first is not everybody's.
  live(s, 650, 800, (agent, second) => agent === 'pi-1' || second >= 690)
  expect(s.transitions).toEqual([])
  // Batches went on coming while no processor worked; one agent died meanwhile.
  live(s, 800, 1_400, (agent, second) => agent !== 'pi-2' || second < 900, { ticks: (second) => second >= 1_300 })
  expect(s.transitions).toEqual(['firing pi-2 agent_unreachable'])
})

test('without a gateway that speaks of itself agents are judged alone; one that speaks seldom is waited for', () => {
  const s = story()
  live(s, 0, 300, (agent, second) => agent === 'pi-1' && second % 40 === 0)
  live(s, 300, 480, () => false)
  expect(s.transitions).toEqual([])
  live(s, 480, 520, () => false)
  expect(s.transitions).toEqual(['firing pi-1 agent_unreachable'])
})

test('what a gateway sends again of an agent does not bring it back', () => {
  const s = story()
  live(s, 0, 200, (agent, second) => agent !== 'pi-1' || second < 50)
  s.give('pi-1', 201, { 'pump-1': [[48, 5]] }, { lane: 'backlog', throughSecond: 50 })
  live(s, 202, 220, (agent) => agent !== 'pi-1')
  expect(s.transitions).toEqual(['firing pi-1 agent_unreachable'])
})

test('a link that is down with a backlog is no dead sensor, and an hour of anomalies behind it pages nobody', () => {
  const s = story()
  live(s, 0, 60)
  live(s, 60, 3_660, (agent) => agent !== 'pi-1')
  expect(s.transitions).toEqual(['firing pi-1 agent_unreachable'])
  s.told.length = 0
  // Live first, in the middle of its backlog.
  const backlog = (second: number) =>
    s.give(
      'pi-1',
      3_665,
      { 'pump-1': Array.from({ length: 60 }, (_, i) => [second + i, Math.floor(second / 600) % 2 ? 50 : 5] as const) },
      { lane: 'backlog', throughSecond: second + 60 },
    )
  s.give('pi-1', 3_664, { 'pump-1': [[3_664, 5]] }, { throughSecond: 60 })
  for (let second = 60; second < 3_660; second += 60) backlog(second)
  live(s, 3_670, 3_720)
  expect(s.transitions.filter((one) => !one.startsWith('historical'))).toEqual([
    'firing pi-1 agent_unreachable',
    'resolved pi-1 agent_unreachable',
  ])
  // Three stretches of ten minutes above the limit.
  expect(s.transitions.filter((one) => one.startsWith('historical'))).toEqual(
    Array.from({ length: 3 }, () => 'historical pump-1 watched.level.threshold_above_10'),
  )
  expect(s.told).toEqual([expect.stringMatching(/^people [0-9a-f]{16}\/resolved$/)])
})

/** Two gateways at one site, with an agent behind each. @param isHeard whether the batch of that second comes */
function liveBehindTwo(
  s: ReturnType<typeof story>,
  from: number,
  to: number,
  isHeard: (agent: string, second: number) => boolean,
): void {
  for (let second = from; second < to; second++) {
    for (const [a, agent] of ['pi-1', 'pi-2'].entries())
      if (isHeard(agent, second)) s.give(agent, second, { [`pump-${a + 1}`]: [[second - 0.5, 5]] })
    if (second % 10 === 0)
      for (const gateway of ['gw-1', 'gw-2'])
        if (isHeard(gateway, second)) s.give(gateway, second, { [gateway]: [[second, 1]] }, { kind: 'gateway_health' })
    if (second % TICK === 0) s.tick(second)
  }
}

test('of two gateways at a site one is unplugged: one alert; what the other one hears is judged as ever', () => {
  const s = story()
  const isUp = (agent: string, second: number) => second < 50 || !['gw-1', 'pi-1'].includes(agent)
  liveBehindTwo(s, 0, 200, isUp)
  expect(s.transitions).toEqual(['firing gw-1 gateway_unreachable'])
  s.told.length = 0
  // A device behind the other one falls silent, then its agent.
  for (let second = 200; second < 400; second++) {
    if (second < 260) s.give('pi-2', second)
    if (second % 10 === 0) s.give('gw-2', second, { 'gw-2': [[second, 1]] }, { kind: 'gateway_health' })
    if (second % TICK === 0) s.tick(second)
  }
  expect(s.transitions.slice(1)).toEqual(['firing pump-2 watched.silence', 'firing pi-2 agent_unreachable'])
  expect(s.told).toHaveLength(2)
})

test('a gateway that another one replaced holds nothing back', () => {
  const s = story()
  liveBehindTwo(s, 0, 400, (agent, second) =>
    agent === 'gw-1' ? second < 100 : agent === 'gw-2' ? second >= 100 : true,
  )
  expect(s.transitions).toEqual(['firing gw-1 gateway_unreachable'])
  liveBehindTwo(s, 400, 600, (agent) => agent === 'gw-2' || agent === 'pi-1')
  expect(s.transitions).toEqual(['firing gw-1 gateway_unreachable', 'firing pi-2 agent_unreachable'])
  expect(s.told).toHaveLength(2)
})

test('a gateway that is given up takes what was behind it along', () => {
  const s = story()
  live(s, 0, 50)
  for (let second = 50; second < 8 * 86_400; second += second < 300 || second % 86_400 < 100 ? TICK : 3_600)
    s.tick(second)
  expect(s.transitions).toEqual(['firing gw gateway_unreachable', 'resolved gw gateway_unreachable'])
}, 30_000)

test('a clock of the stream that was ahead and is set back: what is heard then is heard', () => {
  const s = story()
  live(s, 7_200, 7_260)
  // Two hours earlier, it is right; nothing comes of pi-1 any more.
  live(s, 0, 300, (agent) => agent !== 'pi-1')
  expect(s.transitions.filter((one) => one.includes('unreachable'))).toEqual(['firing pi-1 agent_unreachable'])
  live(s, 300, 320)
  expect(s.transitions.filter((one) => one.includes('unreachable'))).toEqual([
    'firing pi-1 agent_unreachable',
    'resolved pi-1 agent_unreachable',
  ])
})

test('an agent that is gone for good is given up after a week, and judged again when it speaks', () => {
  const s = story()
  live(s, 0, 100, (agent, second) => agent !== 'pi-1' || second < 10)
  for (let hour = 1; hour < 24 * 7 + 2; hour++) live(s, hour * 3_600, hour * 3_600 + 100, (agent) => agent !== 'pi-1')
  expect(s.transitions.filter((one) => one.includes('pi-1'))).toEqual([
    'firing pi-1 agent_unreachable',
    'resolved pi-1 agent_unreachable',
  ])
  const after = 24 * 7 * 3_600 + 10_000
  live(s, after, after + 200, (agent, second) => agent !== 'pi-1' || second < after + 10)
  expect(s.transitions.at(-1)).toBe('firing pi-1 agent_unreachable')
}, 60_000)

test('a rule may say otherwise of links, as of all else', () => {
  const rules = rulesSchema.parse({
    rules: [{ name: 'links', match: { detector: 'link' }, severity: 'warning', for: '60s', notify: [] }],
    unreachable: { after: '30s' },
  })
  const s = alertStory(contextOf([watched, health], { rules, receivers: ['people'] }))
  live(s, 0, 100, (agent, second) => agent !== 'pi-1' || second < 50)
  expect(s.transitions).toEqual(['pending pi-1 links'])
  live(s, 100, 160, (agent) => agent !== 'pi-1')
  expect(s.transitions).toEqual(['pending pi-1 links', 'firing pi-1 links'])
  expect(s.told).toEqual([])
})
