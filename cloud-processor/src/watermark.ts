/**
 * How far an agent's past is complete: not guessed, but promised by the agent (complete-through) and in effect once everything
 * up to the promising batch has arrived. A gap that has been open for longer than it takes to count as missing is passed over:
 * what is lost must not hold windows and alerts for ever. One that a backlog explains is waited for. The watermark never moves back.
 */
import { isOverdue } from './gaps.ts'
import { isInDoubt } from './prior-life.ts'
import type { AgentState } from './state.ts'

/**
 * @param nowMs when the stream received the batch that is being worked on
 * @returns the time up to which everything of the agent has arrived; -Infinity while nothing is known
 */
export function watermarkOf(agent: AgentState, nowMs: number, missingAfterMs: number): number {
  let watermark = agent.watermarkMs
  if (isInDoubt(agent)) return watermark
  for (const { sequences } of agent.epochs.values()) {
    let next = 1
    for (const run of sequences.runs) {
      if (run.from > next && !isOverdue(agent, run.holePatienceMs, nowMs, missingAfterMs)) break
      if (run.completeThroughMs > watermark) watermark = run.completeThroughMs
      next = run.to + 1
    }
  }
  return watermark
}
