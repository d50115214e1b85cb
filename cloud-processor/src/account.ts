/**
 * Guarantee (of the account): `produced = stored + deadLettered + shed + inFlight + missing`, per agent, to the reading.
 * `produced` is the agent's own running total; `missing` are readings in gaps older than a declared time (while
 * a backlog explains them they do not age); `inFlight` is what remains,
 * and equals the readings in younger gaps: a property test compares the two.
 */
import { gapsOf, givenUpReadings } from './deduplicate.ts'
import { isOverdue, isWaiting } from './gaps.ts'
import type { LostRange } from './losses.ts'
import { type AgentState, type EpochState, epochTotals, type PartitionState, type Totals } from './state.ts'

export interface Row extends Totals {
  readonly inFlight: number
}

export interface EpochAccount extends Row {
  readonly epoch: string
  readonly receivedThrough: number
  readonly received: number
  readonly duplicates: number
  /** Of the readings: taken over from the stored watermark of a state that was lost. */
  readonly recovered: number
  /** It is not known yet what the store had of it before this state did. */
  readonly inDoubt: boolean
}

export interface ShedAccount {
  readonly reason: string
  readonly readings: number
  readonly batches: number
  readonly ranges: readonly (Readonly<LostRange> & { readonly epoch: string })[]
  /** Batches in ranges that are not listed. */
  readonly unnamedBatches: number
}

export interface GapAccount {
  readonly epoch: string
  readonly fromSequence: number
  readonly toSequence: number
  /** null: not known yet, counted with the next gap. */
  readonly readings: number | null
  readonly seenAtMs: number
  readonly missing: boolean
  /** How often it was asked for, and when last; null: never. */
  readonly requested: number
  readonly requestedAtMs: number | null
}

export interface AgentAccount extends Row {
  readonly site: string
  readonly agent: string
  readonly epochs: readonly EpochAccount[]
  /** Batches that wait at the agent or its gateway, as it said when it was last heard; null when none do. */
  readonly waiting: { readonly batches: number; readonly sinceMs: number; readonly saidAtMs: number } | null
  readonly gaps: readonly GapAccount[]
  readonly shedReasons: readonly ShedAccount[]
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
/** Of each reason of one agent. */
const RANGES_LISTED_MAX = 100

/** How often a gap was asked for, and when last. */
export type RequestsOf = (
  agent: AgentState,
  epoch: string,
  gap: { readonly fromSequence: number; readonly toSequence: number },
) => { readonly requested: number; readonly requestedAtMs: number | null }
const NEVER: ReturnType<RequestsOf> = { requested: 0, requestedAtMs: null }

export function accountOfAgent(
  agent: AgentState,
  nowMs: number,
  missingAfterMs: number,
  requestsOf: RequestsOf = () => NEVER,
): AgentAccount {
  const gaps: GapAccount[] = []
  const epochs = [...agent.epochs.values()].map((epoch): EpochAccount => {
    let missing = givenUpReadings(epoch.sequences)
    for (const gap of gapsOf(epoch.sequences)) {
      const overdue = isOverdue(agent, gap.seenPatienceMs, nowMs, missingAfterMs)
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
          ...requestsOf(agent, epoch.epoch, gap),
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
    waiting: isWaiting(agent)
      ? { batches: agent.backlogBatches, sinceMs: agent.waitingSinceMs, saidAtMs: agent.backlogSaidAtMs }
      : null,
    gaps,
    shedReasons: shedReasonsOf(agent),
    letters: [...agent.letters].map(([key, count]) => {
      const slash = key.indexOf('/')
      return { stage: key.slice(0, slash), reason: key.slice(slash + 1), ...count }
    }),
  }
}

function shedReasonsOf(agent: AgentState): ShedAccount[] {
  const reasons = new Map<string, { -readonly [K in keyof ShedAccount]: ShedAccount[K] }>()
  const sumOf = (reason: string) => {
    const sum = reasons.get(reason) ?? { reason, readings: 0, batches: 0, ranges: [], unnamedBatches: 0 }
    reasons.set(reason, sum)
    return sum
  }
  for (const { epoch, sequences } of agent.epochs.values())
    for (const [reason, loss] of sequences.losses) {
      const sum = sumOf(reason)
      const room = Math.max(0, RANGES_LISTED_MAX - sum.ranges.length)
      const listed = loss.ranges.slice(0, room).map((range) => ({ epoch, ...range }))
      sum.readings += loss.readings
      sum.batches += loss.batches
      sum.ranges = [...sum.ranges, ...listed]
      const named = listed.reduce((batches, { fromSequence, toSequence }) => batches + toSequence - fromSequence + 1, 0)
      sum.unnamedBatches += loss.batches - named
    }
  for (const [reason, { readings, batches }] of agent.foldedLosses) {
    const sum = sumOf(reason)
    sum.readings += readings
    sum.batches += batches
    sum.unnamedBatches += batches
  }
  return [...reasons.values()]
}

function epochAccount(epoch: EpochState, missing: number): EpochAccount {
  const totals = epochTotals(epoch)
  return {
    epoch: epoch.epoch,
    receivedThrough: epoch.sequences.runs.at(-1)?.to ?? 0,
    received: epoch.received,
    duplicates: epoch.sequences.duplicates,
    recovered: epoch.recovered,
    inDoubt: !Number.isNaN(epoch.doubtSinceMs),
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

export function accountOf(
  state: PartitionState,
  nowMs: number,
  missingAfterMs: number,
  requestsOf?: RequestsOf,
): AgentAccount[] {
  return [...state.agents.values()].map((agent) => accountOfAgent(agent, nowMs, missingAfterMs, requestsOf))
}

export const totalAccount = (agents: readonly AgentAccount[]): Account => ({ agents, total: sumRows(agents) })
