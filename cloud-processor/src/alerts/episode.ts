/** One alert from its first anomalous reading to its end: plain JSON, part of the checkpoint. */
import { createHash } from 'node:crypto'
import type { DetectorFamily } from '../detectors/index.ts'
import type { Severity } from './rule.ts'

export interface Episode {
  /** 16 hexadecimal digits over rule, series, detector and start: the same when the same readings are processed again. */
  id: string
  agent: string
  site: string
  device: string
  kind: string
  field: string
  detector: string
  /** Of the detector. Not in episodes from before it was kept. */
  family?: DetectorFamily
  /** It is about a limit of the device alone, of which no contract knows. */
  ownLimit?: true
  /** It is of readings older than those that the series' detectors have seen. */
  past?: true
  rule: string
  severity: Severity
  /** `dormant`: known from historical data alone, or there was no room for it; nobody is told before live data confirms it. */
  state: 'dormant' | 'pending' | 'firing'
  /** As the rule said when the episode began. */
  forMs: number
  keepFiringForMs: number
  notify: readonly string[] | 'all'
  /** Event time of the first anomalous reading. */
  startedAtMs: number
  /** Event time since which the anomaly is over; null while it goes on. */
  clearedAtMs: number | null
  /** Latest event time at which it was looked at. */
  seenAtMs: number
  /** The most anomalous reading so far; once it is over, the one that ended it. */
  value: number
  score: number
  expected: number | null
  lower: number | null
  upper: number | null
  message: string
}

export interface AlertTransition {
  readonly episode: string
  readonly rule: string
  /** `historical`: live data would have fired it, and nobody is told. The last two are what people did, or did not do, of a firing one. */
  readonly state: 'pending' | 'firing' | 'resolved' | 'historical' | 'acknowledged' | 'escalated'
  readonly severity: Severity
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly field: string
  readonly detector: string
  /** `site/agent` that delivered its readings. */
  readonly agent?: string | undefined
  readonly family?: DetectorFamily | undefined
  /** Label and unit of the field, from the contract; '' where there is none. */
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
  /** What the device registry knew at that time; '' where it says nothing. Absent for a device that it does not know. */
  readonly place?: AlertPlace
}

export interface AlertPlace {
  /** What people call the device. */
  readonly name: string
  readonly line: string
  readonly location: string
}

/** The place of an episode in the state: there is one a series and detector. */
export const episodeKey = (of: { site: string; device: string; kind: string; field: string; detector: string }) =>
  `${of.site}/${of.device}/${of.kind}/${of.field}/${of.detector}`

export function episodeId(rule: string, key: string, startedAtMs: number): string {
  return createHash('sha256').update(`${rule}\n${key}\n${startedAtMs}`).digest('hex').slice(0, 16)
}
