/** The account as measurements `account` and `dead_letter`, for the dashboards. */
import type { AgentAccount } from './account.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'

const KEYS = {
  produced: fieldKey('produced'),
  stored: fieldKey('stored'),
  deadLettered: fieldKey('dead_lettered'),
  shed: fieldKey('shed'),
  inFlight: fieldKey('in_flight'),
  missing: fieldKey('missing'),
  letters: fieldKey('letters'),
  readings: fieldKey('readings'),
}

export interface AccountLines {
  /** Lines of the agents whose account changed since the last call. */
  next(agents: readonly AgentAccount[], timeMs: number): LineBuffer
}

export function createAccountLines(): AccountLines {
  let written = new Map<string, string>()
  const lines = new LineBuffer(16 * 1024)
  return {
    next(agents, timeMs) {
      lines.clear()
      const current = new Map<string, string>()
      for (const account of agents) {
        const { site, agent, produced, stored, deadLettered, shed, inFlight, missing, letters } = account
        const row = { produced, stored, deadLettered, shed, inFlight, missing }
        const key = `${site}/${agent}`
        const fingerprint = JSON.stringify([row, letters])
        current.set(key, fingerprint)
        if (written.get(key) === fingerprint) continue
        const prefix = linePrefix('account', { site, device: agent })
        lines.begin(prefix)
        for (const [name, value] of Object.entries(row)) lines.integer(KEYS[name as keyof typeof row], value)
        lines.end(prefix, timeMs, 0, -1)
        for (const { stage, reason, letters: count, readings } of letters) {
          const letterPrefix = linePrefix('dead_letter', { site, device: agent, stage, reason })
          lines.begin(letterPrefix)
          lines.integer(KEYS.letters, count)
          lines.integer(KEYS.readings, readings)
          lines.end(letterPrefix, timeMs, 0, -1)
        }
      }
      written = current
      return lines
    },
  }
}
