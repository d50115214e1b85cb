/** How the agent is, in one word: the worst of what holds. */
export type AgentState = 'live' | 'draining' | 'offline' | 'clock_not_trusted'

export interface AgentCondition {
  /** To the gateway. */
  readonly connected: boolean
  readonly clockTrusted: boolean
  readonly backlogBatches: number
  /** Batches that may be in flight in the live lane. */
  readonly inFlightMax: number
}

/** Draining: more waits than can be on its way at once. What waits for a moment is no backlog. */
export function agentStateOf({ connected, clockTrusted, backlogBatches, inFlightMax }: AgentCondition): AgentState {
  if (!connected) return 'offline'
  if (!clockTrusted) return 'clock_not_trusted'
  return backlogBatches > inFlightMax ? 'draining' : 'live'
}
