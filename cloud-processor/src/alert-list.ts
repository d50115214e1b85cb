/** What is open, silenced and was noticed in one partition: the shapes of `tributary alert list --json` and `anomaly list --json`. */
import type { SilenceMatch } from '@tributary/protocol'
import type { Acknowledgement, AlertEngine, AlertTransition, Hold, Severity } from './alerts/index.ts'
import { anomalyId } from './feedback.ts'
import type { PartitionState, RecordedAnomaly } from './state.ts'

/** Times are ISO 8601, UTC. */
export interface ListedAlert {
  readonly episode: string
  readonly state: 'pending' | 'firing'
  readonly severity: Severity
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly field: string
  readonly rule: string
  readonly detector: string
  readonly message: string
  readonly startedAt: string
  /** Receivers that know of it. */
  readonly told: readonly string[]
  readonly held: Hold | null
  readonly acknowledged: { readonly by: string; readonly comment: string; readonly at: string } | null
  readonly escalated: boolean
  readonly partition: number
}

export interface ListedSilence {
  readonly id: string
  readonly match: SilenceMatch
  readonly from: string
  readonly until: string
  readonly by: string
  readonly comment: string
  readonly partition: number
}

export interface ListedAnomaly extends Omit<Required<RecordedAnomaly>, 'timeMs' | 'feedback'> {
  readonly id: string
  readonly at: string
  readonly feedback: { readonly what: 'confirmed' | 'dismissed'; readonly by: string; readonly at: string } | null
  readonly partition: number
}

/** What a processor answers about one of its partitions. */
export interface PartitionAlerts {
  readonly processor: string
  readonly partition: number
  readonly alerts: readonly ListedAlert[]
  readonly silences: readonly ListedSilence[]
  readonly anomalies: readonly ListedAnomaly[]
  /** Alerts for which there was no room. */
  readonly more: number
  readonly moreSilences: number
}

/** An answer must fit into a message of NATS, of 1 MB by default. */
const LISTED_MAX = 500
const ALERTS_BYTES_MAX = 400_000
const SILENCES_BYTES_MAX = 300_000
const ANOMALIES_BYTES_MAX = 200_000

export function alertsOf(
  processor: string,
  partition: number,
  { alerts, desk, anomalies }: PartitionState,
  engine: AlertEngine,
): PartitionAlerts {
  const open = engine.open(alerts)
  const known = new Set(open.map(({ id }) => id))
  // One stands for those that a site has too many of: it is no episode of a series.
  const others = Object.values(desk.firing).filter(({ transition }) => !known.has(transition.episode))
  const all = [
    ...others.map(({ transition }) => transition),
    ...open.map(({ id, ...episode }) => ({ ...episode, episode: id })),
  ].map((of): ListedAlert => {
    const alert = desk.firing[of.episode]
    return {
      episode: of.episode,
      state: of.state === 'pending' ? 'pending' : 'firing',
      ...placeOf(of),
      message: alert?.transition.message ?? of.message,
      startedAt: iso(of.startedAtMs),
      told: alert?.told ?? [],
      held: alert?.held ?? null,
      acknowledged: alert?.acknowledged ? said(alert.acknowledged) : null,
      escalated: alert?.isEscalated ?? false,
      partition,
    }
  })
  const silences = Object.values(desk.silences).map(
    ({ fromMs, untilMs, ...silence }): ListedSilence => ({
      ...silence,
      from: iso(fromMs),
      until: iso(untilMs),
      partition,
    }),
  )
  const noticed = anomalies.map(
    ({ timeMs, feedback, ...anomaly }): ListedAnomaly => ({
      id: anomalyId({ timeMs, ...anomaly }),
      at: iso(timeMs),
      ...UNSAID,
      ...anomaly,
      feedback: feedback ? { what: feedback.what, by: feedback.by, at: iso(feedback.atMs) } : null,
      partition,
    }),
  )
  const listed = {
    alerts: within(all.slice(0, LISTED_MAX), ALERTS_BYTES_MAX),
    silences: within(silences, SILENCES_BYTES_MAX),
    // The newest are wanted.
    anomalies: within(noticed.reverse(), ANOMALIES_BYTES_MAX).reverse(),
  }
  return {
    processor,
    partition,
    ...listed,
    more: all.length - listed.alerts.length,
    moreSilences: silences.length - listed.silences.length,
  }
}

/** As many as there is room for, in their order. */
function within<T>(all: readonly T[], bytesMax: number): T[] {
  let bytes = 0
  const beyond = all.findIndex((one) => {
    bytes += Buffer.byteLength(JSON.stringify(one))
    return bytes > bytesMax
  })
  return beyond < 0 ? [...all] : all.slice(0, beyond)
}

type Place = Pick<AlertTransition, 'severity' | 'site' | 'device' | 'kind' | 'field' | 'rule' | 'detector'>
const placeOf = ({ severity, site, device, kind, field, rule, detector }: Place): Place => ({
  severity,
  site,
  device,
  kind,
  field,
  rule,
  detector,
})

/** Of anomalies from before it was kept. */
const UNSAID = { expected: null, lower: null, upper: null, component: '' } as const
const iso = (timeMs: number): string => new Date(timeMs).toISOString()
const said = ({ by, comment, atMs }: Acknowledgement) => ({ by, comment, at: iso(atMs) })
