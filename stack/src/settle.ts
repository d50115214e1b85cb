/** Ends a run cleanly: the devices stop measuring, and what is under way arrives. */
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { TELEMETRY_STREAM } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { type AccountAnswer, type AgentFigures, askJson, type SimulatorStatus } from './live-figures.ts'
import type { Pipeline } from './pipeline.ts'

/** Two looks in a row must agree, and a batch of the agents' own health must not keep us waiting. */
const LOOK_MS = 500
const QUIET_LOOKS = 3

/**
 * Stops the devices, then waits until all of them are acknowledged, everything that agents had produced by then is in the
 * processor's account, nothing is in flight there, and the stream has let go of what it held then: a batch that was lost at the end
 * of an epoch leaves no gap, so the account alone cannot say that nothing is under way.
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
  /** Agent's name → readings it had produced when the devices were first found at rest. */
  let produced: Map<string, number> | undefined
  let streamMark: number | undefined
  while (systemClock.monotonicMs() < deadlineMs) {
    await systemClock.sleep(LOOK_MS, signal)
    const simulator = await askJson<SimulatorStatus>(`${pipeline.urls.simulator}/status`)
    const agents = await Promise.all(pipeline.urls.agents.map((url) => askJson<AgentFigures>(`${url}/status`)))
    const account = await askJson<AccountAnswer>(`${pipeline.urls.processor}/account`)
    backlog = agents.reduce((sum, agent) => sum + (agent?.backlogBatches ?? 1), 0)
    const atRest =
      simulator?.measuring === false &&
      simulator.unacknowledgedSamples === 0 &&
      agents.every((a) => a !== undefined && a.backlogBatches <= 1)
    const stream = atRest ? await streamEnds(pipeline.urls.nats) : undefined
    if (stream !== undefined) {
      produced ??= new Map(pipeline.agents.map(({ name }, i) => [name, agents[i]?.producedReadings ?? 0]))
      // A stream that was made anew begins at 1 again.
      streamMark = Math.min(streamMark ?? stream.last, stream.last)
    }
    const arrived = [...(produced ?? [])].every(
      ([name, readings]) => (account?.agents.find(({ agent }) => agent === name)?.produced ?? 0) >= readings,
    )
    const still = stream !== undefined && stream.first > (streamMark ?? 0) && account?.total.inFlight === 0 && arrived
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

/** The first and the last sequence that the stream holds; undefined when it cannot be asked. */
async function streamEnds(url: string): Promise<{ first: number; last: number } | undefined> {
  try {
    const connection = await connect({ servers: url, timeout: 2_000, reconnect: false })
    try {
      const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 2_000 })
      const { state } = await manager.streams.info(TELEMETRY_STREAM)
      return { first: Number(state.first_seq), last: Number(state.last_seq) }
    } finally {
      await connection.close()
    }
  } catch {
    return undefined
  }
}
