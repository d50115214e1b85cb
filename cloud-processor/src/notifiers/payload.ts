/** What a receiver is told: the shape is a promise, documented in `docs/alerts.md`; keys are added, never changed. */
import { sayTime } from '../detectors/index.ts'
import type { NamedEpisode, Notification } from './notifier.ts'

export interface NotificationPayload {
  readonly version: 1
  /** `<episode>/<state>`: the same in every repetition. */
  readonly key: string
  readonly episode: string
  readonly state: 'firing' | 'resolved'
  readonly severity: 'info' | 'warning' | 'critical'
  /** One line for a phone's screen. */
  readonly title: string
  readonly message: string
  readonly rule: string
  readonly detector: string
  readonly site: string
  readonly device: string
  readonly kind: string
  /** '' when the alert is about the device as a whole. */
  readonly field: string
  readonly label: string
  readonly unit: string
  readonly value: number
  readonly expected: number | null
  readonly lower: number | null
  readonly upper: number | null
  /** ISO 8601, UTC, event time. */
  readonly startedAt: string
  readonly at: string
  /** Only where it is told for another reason than that it fires or is over: escalated, repeated, group, digest, test. */
  readonly reason?: string
  /** Of a group or a digest. */
  readonly episodes?: readonly (Omit<NamedEpisode, 'startedAtMs' | 'atMs'> & { startedAt: string; at: string })[]
}

export function payloadOf({ key, transition, reason, episodes }: Notification): NotificationPayload {
  const { state, severity, site, device, label, message, startedAtMs, atMs } = transition
  const word =
    state === 'resolved' ? 'RESOLVED' : `${reason === 'escalated' ? 'ESCALATED ' : ''}${severity.toUpperCase()}`
  return {
    version: 1,
    key,
    episode: transition.episode,
    state: state === 'resolved' ? 'resolved' : 'firing',
    severity,
    title: `${word} ${device === '*' ? '' : `${device} at `}${site}: ${message} (${sayTime(atMs)})`,
    message,
    rule: transition.rule,
    detector: transition.detector,
    site,
    device,
    kind: transition.kind,
    field: transition.field,
    label,
    unit: transition.unit,
    value: transition.value,
    expected: transition.expected,
    lower: transition.lower,
    upper: transition.upper,
    startedAt: new Date(startedAtMs).toISOString(),
    at: new Date(atMs).toISOString(),
    ...(reason === undefined ? {} : { reason }),
    ...(episodes === undefined ? {} : { episodes: episodes.map(namedEpisode) }),
  }
}

const namedEpisode = ({ startedAtMs, atMs, ...rest }: NamedEpisode) => ({
  ...rest,
  startedAt: new Date(startedAtMs).toISOString(),
  at: new Date(atMs).toISOString(),
})
