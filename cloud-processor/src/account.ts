/**
 * Guarantee (of the account): `produced = stored + deadLettered + shed + inFlight + missing`, per agent, to the reading.
 * `produced` is the agent's own running total; `missing` are readings in gaps older than a declared time; `inFlight` is what remains,
 * and equals the readings in younger gaps: a property test compares the two.
 */
import { gapsOf } from './deduplicate.ts'
import { type AgentState, type EpochState, epochTotals, type PartitionState, type Totals } from './state.ts'

export interface Row extends Totals {
  readonly inFlight: number
}

export interface EpochAccount extends Row {
  readonly epoch: string
  readonly receivedThrough: number
  readonly received: number
  readonly duplicates: number
}

export interface AgentAccount extends Row {
  readonly site: string
  readonly agent: string
  readonly epochs: readonly EpochAccount[]
  readonly gaps: readonly {
    readonly epoch: string
    readonly fromSequence: number
    readonly toSequence: number
    /** null: not known yet, counted with the next gap. */
    readonly readings: number | null
    readonly seenAtMs: number
    readonly missing: boolean
  }[]
  readonly letters: readonly {
    readonly stage: string
    readonly reason: string
    readonly letters: number
    readonly readings: number
  }[]
}

export interface Account {
  readonly agents: readonly AgentAccount[]
  readonly total: Row
}

/** Gaps listed of one agent; further ones are in the sums alone. */
const GAPS_LISTED_MAX = 100

export function accountOfAgent(agent: AgentState, nowMs: number, missingAfterMs: number): AgentAccount {
  const gaps: AgentAccount['gaps'][number][] = []
  const epochs = [...agent.epochs.values()].map((epoch): EpochAccount => {
    let missing = epoch.sequences.givenUpReadings
    for (const gap of gapsOf(epoch.sequences)) {
      const overdue = nowMs - gap.seenAtMs >= missingAfterMs
      const known = Number.isNaN(gap.readings) ? null : gap.readings
      if (overdue) missing += known ?? 0
      if (gaps.length < GAPS_LISTED_MAX)
        gaps.push({
          epoch: epoch.epoch,
          fromSequence: gap.fromSequence,
          toSequence: gap.toSequence,
          readings: known,
          seenAtMs: gap.seenAtMs,
          missing: overdue,
        })
    }
    return epochAccount(epoch, missing)
  })
  const rows = [...epochs, { ...agent.folded, inFlight: 0 }]
  return {
    site: agent.site,
    agent: agent.agent,
    epochs,
    ...sumRows(rows),
    gaps,
    letters: [...agent.letters].map(([key, count]) => {
      const slash = key.indexOf('/')
      return { stage: key.slice(0, slash), reason: key.slice(slash + 1), ...count }
    }),
  }
}

function epochAccount(epoch: EpochState, missing: number): EpochAccount {
  const totals = epochTotals(epoch)
  return {
    epoch: epoch.epoch,
    receivedThrough: epoch.sequences.runs.at(-1)?.to ?? 0,
    received: epoch.received,
    duplicates: epoch.sequences.duplicates,
    ...totals,
    missing,
    inFlight: totals.produced - totals.stored - totals.deadLettered - totals.shed - missing,
  }
}

export function sumRows(rows: readonly Row[]): Row {
  const sum = { produced: 0, stored: 0, deadLettered: 0, shed: 0, inFlight: 0, missing: 0 }
  for (const row of rows) for (const key of Object.keys(sum) as (keyof Row)[]) sum[key] += row[key]
  return sum
}

export function accountOf(state: PartitionState, nowMs: number, missingAfterMs: number): AgentAccount[] {
  return [...state.agents.values()].map((agent) => accountOfAgent(agent, nowMs, missingAfterMs))
}

export const totalAccount = (agents: readonly AgentAccount[]): Account => ({ agents, total: sumRows(agents) })
