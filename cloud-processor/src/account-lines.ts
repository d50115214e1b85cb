/** The account as measurements `account`, `dead_letter` and `shed`, for the dashboards. */
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
  batches: fieldKey('batches'),
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
        const { site, agent, produced, stored, deadLettered, shed, inFlight, missing, letters, shedReasons } = account
        const row = { produced, stored, deadLettered, shed, inFlight, missing }
        const key = `${site}/${agent}`
        const fingerprint = JSON.stringify([row, letters, shedReasons.map(({ readings }) => readings)])
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
        for (const { reason, readings, batches } of shedReasons) {
          const shedPrefix = linePrefix('shed', { site, device: agent, reason })
          lines.begin(shedPrefix)
          lines.integer(KEYS.readings, readings)
          lines.integer(KEYS.batches, batches)
          lines.end(shedPrefix, timeMs, 0, -1)
        }
      }
      written = current
      return lines
    },
  }
}
