/** What was found in a file: counts, alarms, the highest score, what was left out. Bounded, however long the file. */

import type { Judgement } from './judge-series.ts'
import { LEFT_OUT, type LeftOut, type SeriesRow } from './read-rows.ts'

/** Alarms that are kept with their times and sentences; more are counted. */
export const ALARMS_MAX = 1_000
const LINES_MAX = 5

export interface Alarm {
  /** Timestamps as they stand in the file. */
  readonly from: string
  to: string
  rows: number
  score: number
  value: string
  message: string
}

export interface Findings {
  rows: number
  judged: number
  alarms: number
  alarmList: Alarm[]
  highest: { readonly timestamp: string; readonly value: string; readonly score: number } | undefined
  readonly leftOut: Partial<Record<LeftOut, { rows: number; lines: number[] }>>
}

export interface FindingsCollector {
  readonly findings: Findings
  leftOut(row: SeriesRow, reason: LeftOut): void
  /** @returns whether an alarm begins with this row */
  judged(row: SeriesRow, judgement: Judgement): boolean
}

/**
 * An alarm begins with a row that reaches the threshold when the one before did not; it goes on while scores stay above half of it,
 * which is what learned detectors give the rows that belong to an anomaly said before.
 */
export function collectFindings(threshold: number): FindingsCollector {
  const findings: Findings = { rows: 0, judged: 0, alarms: 0, alarmList: [], highest: undefined, leftOut: {} }
  let before = 0
  let open: Alarm | undefined
  return {
    findings,
    leftOut({ line }, reason) {
      findings.rows += 1
      findings.leftOut[reason] ??= { rows: 0, lines: [] }
      const entry = findings.leftOut[reason]
      entry.rows += 1
      if (entry.lines.length < LINES_MAX) entry.lines.push(line)
    },
    judged({ timestamp, value }, { score, message }) {
      findings.rows += 1
      findings.judged += 1
      if (score > (findings.highest?.score ?? 0)) findings.highest = { timestamp, value, score }
      const begins = score >= threshold && before < threshold
      before = score
      if (begins) {
        findings.alarms += 1
        open = { from: timestamp, to: timestamp, rows: 0, score: 0, value, message: '' }
        if (findings.alarmList.length < ALARMS_MAX) findings.alarmList.push(open)
      } else if (score < threshold / 2) open = undefined
      if (open !== undefined) {
        open.to = timestamp
        open.rows += 1
        if (score > open.score) Object.assign(open, { score, value, message: message() })
      }
      return begins
    },
  }
}

/** Those with the highest scores, in order of time. */
export function highestAlarms(alarms: readonly Alarm[], count: number): Alarm[] {
  const highest = new Set([...alarms].sort((a, b) => b.score - a.score).slice(0, count))
  return alarms.filter((alarm) => highest.has(alarm))
}

/** "3 with a value that is no number (lines 4, 9, 17)". */
export function leftOutLines({ leftOut }: Pick<Findings, 'leftOut'>): string[] {
  return (Object.keys(LEFT_OUT) as LeftOut[]).flatMap((reason) => {
    const entry = leftOut[reason]
    if (entry === undefined) return []
    const more = entry.rows > entry.lines.length ? ', …' : ''
    return [
      `${entry.rows.toLocaleString('en-GB')} ${LEFT_OUT[reason]} (line${entry.rows === 1 ? '' : 's'} ${entry.lines.join(', ')}${more})`,
    ]
  })
}
