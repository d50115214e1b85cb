/**
 * How long one has waited for a gap. An agent's patience is a clock that stands still while its newest live batch says that a
 * backlog waits: what is missing then is most likely there, and is neither asked for nor given up. So a gap that was given up
 * stays given up when a new backlog begins, and a link that breaks again and again cannot keep a real gap young for ever.
 */
import type { BatchHeader } from '@tributary/protocol'
import type { Moment } from './deduplicate.ts'
import type { AgentState, EpochState } from './state.ts'

/**
 * Newest is the highest sequence of the live lane of its epoch. Of two epochs the one that was heard last counts: one that is
 * over falls silent, and the next live batch of the other puts it right.
 */
export function noteBacklog(agent: AgentState, epoch: EpochState, header: BatchHeader, receivedAtMs: number): void {
  if (header.lane !== 'live' || header.sequence <= epoch.newestLive) return
  epoch.newestLive = header.sequence
  agent.backlogBatches = header.backlogBatches
  agent.backlogSaidAtMs = receivedAtMs
  const waits = header.backlogBatches > 0
  if (waits === isWaiting(agent)) return
  if (!waits) agent.waitedMs += Math.max(0, receivedAtMs - agent.waitingSinceMs)
  agent.waitingSinceMs = waits ? receivedAtMs : Number.NaN
}

/** Whether batches of the agent lie where they are known to be: in its own spool, or its gateway's. */
export const isWaiting = (agent: AgentState): boolean => !Number.isNaN(agent.waitingSinceMs)

export function patienceOf(agent: AgentState, nowMs: number): number {
  const waiting = isWaiting(agent) ? Math.max(0, nowMs - agent.waitingSinceMs) : 0
  return nowMs - agent.waitedMs - waiting
}

export const momentOf = (agent: AgentState, atMs: number): Moment => ({ atMs, patienceMs: patienceOf(agent, atMs) })

/** Whether a gap that was first seen then counts as missing. */
export const isOverdue = (agent: AgentState, seenPatienceMs: number, nowMs: number, missingAfterMs: number): boolean =>
  patienceOf(agent, nowMs) - seenPatienceMs >= missingAfterMs
