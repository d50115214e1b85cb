/**
 * How far an agent's past is complete: not guessed, but promised by the agent (complete-through) and in effect once everything
 * up to the promising batch has arrived. It never moves back.
 */
import type { AgentState } from './state.ts'

/** @returns the time up to which everything of the agent has arrived; -Infinity while nothing is known */
export function watermarkOf(agent: AgentState): number {
  let watermark = agent.watermarkMs
  for (const { sequences } of agent.epochs.values()) {
    const first = sequences.runs[0]
    if (first !== undefined && first.from === 1 && first.completeThroughMs > watermark)
      watermark = first.completeThroughMs
  }
  return watermark
}
