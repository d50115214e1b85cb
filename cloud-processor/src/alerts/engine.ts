/**
 * From verdicts to episodes that people are told about: pending → firing → resolved. Pure and deterministic, in event time:
 * however the same readings are cut into batches, the same episodes come out.
 * Historical data neither fires nor resolves; what it says of the present counts once live data follows.
 */
import type { Contracts } from '@tributary/protocol'
import type { DetectorFamily, Verdict } from '../detectors/index.ts'
import type { AlertRule, Severity } from './rule.ts'

/** A detector's verdict about one series, as `observe` or the silence detector's `judge` returned it. */
export interface VerdictChange {
  readonly agent: string
  readonly site: string
  readonly device: string
  readonly kind: string
  /** '' for silence, which is about a device. */
  readonly field: string
  readonly detector: { readonly name: string; readonly family: DetectorFamily }
  readonly verdict: Verdict
  readonly value: number
  /** Event time of the reading (of silence: the verdict's own time). */
  readonly atMs: number
  /** False for backlog and other old data. */
  readonly live: boolean
}

/** An agent's event time moved on: its complete-through in effect. */
export interface Advance {
  readonly agent: string
  readonly completeThroughMs: number
  readonly live: boolean
}

export interface AlertTransition {
  /** One identity an episode: 16 hexadecimal digits over rule, series and start. */
  readonly episode: string
  readonly rule: string
  readonly state: 'pending' | 'firing' | 'resolved'
  readonly severity: Severity
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly field: string
  readonly detector: string
  /** Label and unit of the field, from the contract. */
  readonly label: string
  readonly unit: string
  readonly value: number
  readonly expected: number | null
  readonly lower: number | null
  readonly upper: number | null
  readonly message: string
  /** Event time of the first anomalous reading. */
  readonly startedAtMs: number
  /** Event time of this transition. */
  readonly atMs: number
  /** Notifiers to be told: none for `pending`, nor for the end of an episode that never fired. */
  readonly notify: readonly string[] | 'all'
}

export interface Episode {
  agent: string
  site: string
  device: string
  kind: string
  field: string
  detector: string
  id: string
  rule: string
  severity: Severity
  /** `dormant`: known from historical data alone, nobody is told before live data confirms it. */
  state: 'dormant' | 'pending' | 'firing'
  forMs: number
  keepFiringForMs: number
  notify: string[] | 'all'
  startedAtMs: number
  /** Event time since which the anomaly is over; null while it goes on. */
  clearedAtMs: number | null
  value: number
  expected: number | null
  lower: number | null
  upper: number | null
  message: string
}

/** Plain JSON, of bounded size, changed in place: part of the checkpoint. */
export interface AlertState {
  /** By series and detector. */
  episodes: Record<string, Episode>
  /** Per site: episodes that were not opened because too many were; the one alert that says so. */
  digests: Record<string, { id: string; startedAtMs: number; suppressed: number }>
  /** Since the state was new. */
  suppressedTotal: number
}

export interface AlertEngine {
  start(): AlertState
  judge(state: AlertState, change: VerdictChange): AlertTransition[]
  advance(state: AlertState, advance: Advance): AlertTransition[]
  /** Pending and firing episodes, most severe first: what `/alerts` answers. */
  open(state: AlertState): Episode[]
}

export interface AlertEngineOptions {
  /** Open episodes a site; further ones are counted in one digest alert. */
  readonly openEpisodesPerSiteMax: number
}

/** @param rules from `alerts.yaml`, in order of precedence; the contracts' own rules stand behind them */
export function createAlertEngine(
  _rules: readonly AlertRule[],
  _contracts: Contracts,
  _options: AlertEngineOptions = { openEpisodesPerSiteMax: 200 },
): AlertEngine {
  throw new Error('not written yet')
}
