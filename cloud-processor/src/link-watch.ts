/**
 * Which agents and gateways cannot be reached: judged at each tick, by when the stream received something new of them. Event time will
 * not do, since that of an agent that is gone stands still.
 *
 * Guarantee: a dead link is one alert. While nothing is heard of a site's gateway nobody can tell how its agents are: their waiting
 * begins when it is back. Nor is anybody unreachable while the processor, or the stream, was away: it begins anew with the ticks.
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
    if (agent.heardAtMs > nowMs) agent.heardAtMs = nowMs
    if (agent.heardAtMs === Number.NEGATIVE_INFINITY) continue
    if (!Number.isNaN(agent.unreachableSinceMs)) {
      if (agent.heardAtMs > agent.unreachableSinceMs) heardAgain(s, agent)
      else if (nowMs - agent.heardAtMs > GIVE_UP_AFTER_MS) giveUp(s, agent)
      continue
    }
    const gateway = agent.isGateway ? undefined : gateways.get(agent.site)
    const sinceMs = Math.max(agent.heardAtMs, state.desk.listeningSinceMs, gateway?.backSinceMs ?? 0)
    const dueMs = sinceMs + waitMsOf(agent, s.context.desk.unreachableAfterMs)
    if ((gateway?.heardAtMs ?? nowMs) > dueMs) unreachable(s, agent, dueMs)
  }
  tell(s, s.context.engine.advance(state.alerts, { agent: LINK_CLOCK, completeThroughMs: nowMs, live: true }))
}

/** Of each site the gateway that was heard last. */
function gatewaysOf(state: PartitionState): Map<string, AgentState> {
  const gateways = new Map<string, AgentState>()
  for (const agent of state.agents.values()) {
    const known = gateways.get(agent.site)
    if (agent.isGateway && !(known && known.heardAtMs >= agent.heardAtMs)) gateways.set(agent.site, agent)
  }
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

/** It is gone for good, until it is heard again. */
function giveUp(s: AlertScope, agent: AgentState): void {
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
