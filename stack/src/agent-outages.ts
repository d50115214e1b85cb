/** The outages of a scenario: the link between an agent and its gateway is a relay, which is down for a while. */
import type { OutageConfig } from '@tributary/firmware-sim'
import { type Clock, isAbort, UserError } from '@tributary/runtime'
import { freePort } from './free-port.ts'
import { createRelay, type Relay } from './relay.ts'

export interface AgentOutages {
  /** The port that the agent sees instead of the gateway's; undefined for an agent that is never offline. */
  portFor(agent: string): number | undefined
  /** Relays take connections. */
  start(): Promise<void>
  /** From now on the times of the scenario count. */
  begin(): void
  /** Ends what is under way. */
  stop(): Promise<void>
}

/**
 * @param placeOf on this machine: under which address an agent reaches it, and the loopback port where its link ends
 * @param say told when a link is cut and when it is back
 * @throws UserError when the scenario names an agent that there is not
 */
export async function createAgentOutages(
  outages: readonly OutageConfig[],
  {
    agents,
    placeOf,
    clock,
    say,
  }: {
    agents: readonly string[]
    placeOf: (agent: string) => { readonly machine?: string; readonly gatewayPort: number }
    clock: Clock
    say: (text: string) => void
  },
): Promise<AgentOutages> {
  const relays = new Map<string, Relay>()
  for (const { agent } of outages) {
    if (!agents.includes(agent))
      throw new UserError(`the scenario has an outage of ${agent}, and there is no such agent`, {
        hint: `there are ${agents.join(' and ')}: serial devices belong to agent-1, those on MQTT to agent-2`,
      })
    if (!relays.has(agent))
      relays.set(agent, createRelay(`${agent} to gateway`, await freePort(), placeOf(agent).machine))
  }
  const stopping = new AbortController()
  let running: Promise<unknown> = Promise.resolve()

  const runOne = async (outage: OutageConfig, startedMs: number) => {
    const relay = relays.get(outage.agent) as Relay
    const until = (atMs: number) => clock.sleep(Math.max(0, startedMs + atMs - clock.monotonicMs()), stopping.signal)
    await until(outage.at)
    relay.set('down')
    say(`${outage.agent} is offline: its link to the gateway is cut for ${outage.for / 1_000} s`)
    await until(outage.at + outage.for)
    relay.set('up')
    say(`${outage.agent} has its link to the gateway back`)
  }
  return {
    portFor: (agent) => relays.get(agent)?.port,
    async start() {
      for (const [agent, relay] of relays) await relay.start(placeOf(agent).gatewayPort)
    },
    begin() {
      const startedMs = clock.monotonicMs()
      const unlessStopped = (error: unknown) => {
        if (!isAbort(error)) throw error
      }
      running = Promise.all(outages.map((outage) => runOne(outage, startedMs).catch(unlessStopped)))
    },
    async stop() {
      stopping.abort(new DOMException('stopped', 'AbortError'))
      await running
      for (const relay of relays.values()) await relay.stop()
    },
  }
}
