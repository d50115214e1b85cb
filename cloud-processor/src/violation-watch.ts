/** Devices of which a contract refuses much: `violations` in the rules file says how much is too much. */
import type { RulesFile, VerdictChange } from './alerts/index.ts'
import { compile } from './alerts/match.ts'
import type { BatchScope } from './batch-scope.ts'
import { ORDINARY, sayDuration } from './detectors/index.ts'
import { countRefused, passTime, startViolations, VIOLATIONS, type ViolationLimit } from './detectors/violations.ts'
import type { DeviceSeries } from './series.ts'
import { agentKeyOf } from './state.ts'
import { tell } from './tell.ts'

export type FindViolationLimit = (place: { site: string; device: string; kind: string }) => ViolationLimit | undefined

/** The first that matches counts. */
export function createViolationLimits({ violations }: Pick<RulesFile, 'violations'>): FindViolationLimit {
  const all = violations.map(({ match, count, within }) => ({
    matches: compile(match),
    limit: { count, withinMs: within },
  }))
  return ({ site, device, kind }) =>
    all.find(({ matches }) => matches({ site, device, kind, field: '', detector: VIOLATIONS }))?.limit
}

interface Refused {
  readonly field: string
  readonly reason: string
  readonly samples: readonly number[]
}

/** @param refused of a block with these times, before what is private was taken out */
export function watchViolations(
  s: BatchScope,
  series: DeviceSeries,
  timesMs: Float64Array,
  refused: readonly Refused[],
): void {
  const { site, device, contract } = series
  const limit = s.context.violationLimit({ site, device, kind: contract.kind })
  if (limit === undefined || series.left) return
  series.violations ??= startViolations()
  const inOrder = refused
    .flatMap(({ field, reason, samples }) => samples.map((i) => ({ field, reason, timeMs: timesMs[i] as number })))
    .sort((a, b) => a.timeMs - b.timeMs)
  for (const { field, reason, timeMs } of inOrder) {
    // A sample from a clock that is ahead must not make history of those that come.
    const atMs = Math.min(timeMs, s.receivedAtMs)
    const many = countRefused(series.violations, limit, atMs, 1)
    if (many === undefined) continue
    const message = `${many} readings of ${device} were refused by the contract ${contract.kind} within ${sayDuration(limit.withinMs)}, the last: ${field} ${reason}`
    judge(s, series, { ...ORDINARY, anomalous: true, score: 1, upper: limit.count, message }, many, atMs)
  }
}

export function passViolations(s: BatchScope, series: DeviceSeries, completeThroughMs: number): void {
  const { violations } = series
  if (violations === undefined) return
  const { site, device, contract } = series
  const limit = s.context.violationLimit({ site, device, kind: contract.kind })
  if (limit === undefined) {
    series.violations = undefined
    if (violations.many) judge(s, series, ORDINARY, 0, completeThroughMs)
    return
  }
  const overAtMs = passTime(violations, limit, completeThroughMs)
  if (overAtMs !== undefined) judge(s, series, ORDINARY, 0, overAtMs)
}

function judge(
  s: BatchScope,
  { site, device, contract }: DeviceSeries,
  verdict: VerdictChange['verdict'],
  value: number,
  atMs: number,
): void {
  const detector = { name: VIOLATIONS, family: 'violations' as const }
  const about = { agent: agentKeyOf(s.agent), site, device, kind: contract.kind, field: '', detector }
  tell(s, s.context.engine.judge(s.state.alerts, { ...about, verdict, value, atMs, live: s.live }))
}
