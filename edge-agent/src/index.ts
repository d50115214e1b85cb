export { createAgent, runAgent } from './agent.ts'
export { type AgentConfig, agentConfigSchema } from './config.ts'
export type { InputStatus } from './inputs/input.ts'
export type { AgentStatus } from './status.ts'
