/** Asks agents on `…/command` to send again what this gateway was asked for and does not have. */
import type { AgentCommand } from '@tributary/protocol'
import type { Clock, Logger, Metrics } from '@tributary/runtime'

export interface AgentCommands {
  /** The same range at most once a minute. An agent that is away is not asked; the processor asks anew. */
  askAgain(agent: string, epoch: string, fromSequence: number, toSequence: number): void
}

const QUIET_MS = 60_000
const REMEMBERED_MAX = 1_000

export function createAgentCommands(
  /** @returns whether it was sent */
  publish: (agent: string, payload: string) => boolean,
  { clock, log, metrics }: { clock: Clock; log: Logger; metrics: Metrics },
): AgentCommands {
  const askedTotal = metrics.counter('gateway_agents_asked_total', 'Ranges that agents were asked to send again')
  /** Range → when it was asked for last, oldest first. */
  const asked = new Map<string, number>()
  return {
    askAgain(agent, epoch, fromSequence, toSequence) {
      const nowMs = clock.monotonicMs()
      for (const [key, atMs] of asked)
        if (nowMs - atMs >= QUIET_MS || asked.size >= REMEMBERED_MAX) asked.delete(key)
        else break
      const key = `${agent}/${epoch}/${fromSequence}-${toSequence}`
      if (asked.has(key)) return
      const command: AgentCommand = { type: 'resend', epoch, fromSequence, toSequence }
      if (!publish(agent, JSON.stringify(command))) return
      asked.set(key, nowMs)
      askedTotal.inc()
      log.info({ agent, epoch, fromSequence, toSequence }, 'the agent was asked to send again')
    },
  }
}
