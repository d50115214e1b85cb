/** Ends a run cleanly: the devices stop measuring, and what is under way arrives. */
import { systemClock } from '@tributary/runtime'
import { type AccountAnswer, type AgentFigures, askJson, type SimulatorStatus } from './live-figures.ts'
import type { Pipeline } from './pipeline.ts'

/** Two looks in a row must agree, and a batch of the agents' own health must not keep us waiting. */
const LOOK_MS = 500
const QUIET_LOOKS = 3

/**
 * Stops the devices, then waits until all of them are acknowledged and nothing of theirs is in flight.
 * @returns false when that did not come about in time; the account then says what is in flight
 */
export async function settle(
  pipeline: Pipeline,
  {
    timeoutMs,
    signal,
    say = () => undefined,
  }: { timeoutMs: number; signal: AbortSignal; say?: (text: string) => void },
): Promise<boolean> {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs
  await pipeline.simulator.kill('SIGUSR2')
  let quiet = 0
  let backlog = 0
  let saidAtMs = systemClock.monotonicMs()
  while (systemClock.monotonicMs() < deadlineMs) {
    await systemClock.sleep(LOOK_MS, signal)
    const simulator = await askJson<SimulatorStatus>(`${pipeline.urls.simulator}/status`)
    const agents = await Promise.all(pipeline.urls.agents.map((url) => askJson<AgentFigures>(`${url}/status`)))
    const account = await askJson<AccountAnswer>(`${pipeline.urls.processor}/account`)
    backlog = agents.reduce((sum, agent) => sum + (agent?.backlogBatches ?? 1), 0)
    const still =
      simulator?.measuring === false &&
      simulator.unacknowledgedSamples === 0 &&
      agents.every((a) => a !== undefined && a.backlogBatches <= 1) &&
      account !== undefined &&
      account.total.inFlight === 0
    quiet = still ? quiet + 1 : 0
    if (quiet >= QUIET_LOOKS) return true
    if (systemClock.monotonicMs() - saidAtMs > 5_000) {
      saidAtMs = systemClock.monotonicMs()
      say(
        `  ${simulator?.unacknowledgedSamples ?? '?'} samples unacknowledged at the devices, ${backlog} batches at the agents, ${account?.total.inFlight ?? '?'} readings in flight`,
      )
    }
  }
  return false
}
