/**
 * Which agents and gateways cannot be reached: judged at each tick, by when the stream received something new of them. Event time will
 * not do, since that of an agent that is gone stands still.
 *
 * Guarantee: a dead link is one alert. While nothing is heard of a gateway nobody can tell how its agents are: their waiting
 * begins when it is back. Which gateway of its site is an agent's nobody says; so each may be that was heard when the agent was last, and
 * one that fell silent long before is none. Nor is anybody unreachable while the processor, or the stream, was away: it begins anew with the ticks.
 * What an agent's usual silence is, is learned: one that speaks every ten minutes is waited for five times as long.
 */
import type { Batch } from '@tributary/protocol'
import type { VerdictChange } from './alerts/index.ts'
import { AGENT_UNREACHABLE, GATEWAY_UNREACHABLE, ORDINARY, sayDuration, sayTime } from './detectors/index.ts'
import type { AgentState, PartitionState } from './state.ts'
import { type AlertScope, tell } from './tell.ts'

/** Whose event time alerts about links wait for: that of the ticks. */
export const LINK_CLOCK = '#ticks'
const USUAL_STEPS = 5
const GIVE_UP_AFTER_MS = 7 * 86_400_000
const GATEWAY_HEALTH = 'gateway_health'

/** A batch of the live lane that was not here before. What a gateway sends again, or had in store, says nothing of its agent now. */
export function noteHeard(agent: AgentState, batch: Batch, receivedAtMs: number, unreachableAfterMs: number): void {
  if (batch.header.lane !== 'live') return
  agent.isGateway ||= batch.blocks.some(({ kind, device }) => kind === GATEWAY_HEALTH && device === agent.agent)
  const stepMs = receivedAtMs - agent.heardAtMs
  if (stepMs < 0) return
  if (stepMs > waitMsOf(agent, unreachableAfterMs)) agent.backSinceMs = receivedAtMs
  if (Number.isFinite(stepMs))
    agent.heardEveryMs =
      agent.heardEveryMs === 0
        ? stepMs
        : agent.heardEveryMs + (Math.min(stepMs, 4 * agent.heardEveryMs) - agent.heardEveryMs) / 10
  agent.heardAtMs = receivedAtMs
}

const waitMsOf = ({ heardEveryMs }: AgentState, unreachableAfterMs: number): number =>
  Math.max(unreachableAfterMs, USUAL_STEPS * heardEveryMs)

/** At a tick. */
export function judgeLinks(s: AlertScope): void {
  const { state, receivedAtMs: nowMs } = s
  const gateways = gatewaysOf(state)
  for (const agent of state.agents.values()) {
    // The clock of the stream's server may have been wrong.
    agent.heardAtMs = Math.min(agent.heardAtMs, nowMs)
    agent.unreachableSinceMs = Math.min(agent.unreachableSinceMs, nowMs)
    agent.backSinceMs = Math.min(agent.backSinceMs, nowMs)
    if (agent.heardAtMs === Number.NEGATIVE_INFINITY) continue
    if (!Number.isNaN(agent.unreachableSinceMs)) {
      if (agent.heardAtMs > agent.unreachableSinceMs) heardAgain(s, agent)
      else if (nowMs - agent.heardAtMs > GIVE_UP_AFTER_MS) giveUp(s, agent)
      continue
    }
    const { unreachableAfterMs } = s.context.desk
    const before = agent.isGateway
      ? []
      : (gateways.get(agent.site) ?? []).filter((one) => mayStandBefore(one, agent, unreachableAfterMs))
    const sinceMs = Math.max(agent.heardAtMs, state.desk.listeningSinceMs, ...before.map((one) => one.backSinceMs))
    const dueMs = sinceMs + waitMsOf(agent, unreachableAfterMs)
    if (nowMs > dueMs && before.every(({ heardAtMs }) => heardAtMs > dueMs)) unreachable(s, agent, dueMs)
  }
  tell(s, s.context.engine.advance(state.alerts, { agent: LINK_CLOCK, completeThroughMs: nowMs, live: true }))
}

const mayStandBefore = (gateway: AgentState, agent: AgentState, unreachableAfterMs: number): boolean =>
  agent.heardAtMs - gateway.heardAtMs <= waitMsOf(gateway, unreachableAfterMs)

/** By site. */
function gatewaysOf(state: PartitionState): Map<string, AgentState[]> {
  const gateways = new Map<string, AgentState[]>()
  for (const agent of state.agents.values())
    if (agent.isGateway) gateways.set(agent.site, [...(gateways.get(agent.site) ?? []), agent])
  return gateways
}

function unreachable(s: AlertScope, agent: AgentState, dueMs: number): void {
  agent.unreachableSinceMs = agent.heardAtMs
  const forMs = s.receivedAtMs - agent.heardAtMs
  const who = agent.isGateway ? `the gateway ${agent.agent}` : agent.agent
  const behind = agent.isGateway ? agentsBehind(s.state, agent) : agent.series.length
  const what = agent.isGateway ? 'agents' : 'series of devices'
  judge(s, agent, {
    verdict: {
      ...ORDINARY,
      anomalous: true,
      score: 1,
      upper: waitMsOf(agent, s.context.desk.unreachableAfterMs) / 1000,
      message: `nothing was heard of ${who} for ${sayDuration(forMs)}, the last at ${sayTime(agent.heardAtMs)}; ${behind} ${what} are behind it`,
    },
    value: forMs / 1000,
    atMs: dueMs,
  })
}

const agentsBehind = (state: PartitionState, { site }: AgentState): number =>
  [...state.agents.values()].filter((agent) => agent.site === site && !agent.isGateway).length

function heardAgain(s: AlertScope, agent: AgentState): void {
  agent.unreachableSinceMs = Number.NaN
  judge(s, agent, { verdict: ORDINARY, value: 0, atMs: agent.heardAtMs })
}

/** It is gone for good, until it is heard again; so is what was behind it, and nobody was told of. */
function giveUp(s: AlertScope, agent: AgentState): void {
  const { unreachableAfterMs } = s.context.desk
  if (agent.isGateway)
    for (const one of s.state.agents.values())
      if (one.site === agent.site && !one.isGateway && Number.isNaN(one.unreachableSinceMs))
        if (mayStandBefore(agent, one, unreachableAfterMs)) one.heardAtMs = Number.NEGATIVE_INFINITY
  agent.unreachableSinceMs = Number.NaN
  agent.heardAtMs = Number.NEGATIVE_INFINITY
  const why = `given up: nothing was heard of ${agent.agent} for ${sayDuration(GIVE_UP_AFTER_MS)}`
  tell(s, s.context.engine.forget(s.state.alerts, { site: agent.site, device: agent.agent, kind: '' }, why))
}

function judge(s: AlertScope, agent: AgentState, given: Pick<VerdictChange, 'verdict' | 'value' | 'atMs'>): void {
  const name = agent.isGateway ? GATEWAY_UNREACHABLE : AGENT_UNREACHABLE
  const { site, agent: device } = agent
  const about = { agent: LINK_CLOCK, site, device, kind: '', field: '', detector: { name, family: 'link' as const } }
  tell(s, s.context.engine.judge(s.state.alerts, { ...about, ...given, live: true }))
}
