/** What a receiver is told: the shape is a promise, documented in `docs/notifiers.md`; keys are added at the end, never changed. */
import type { NamedEpisode, Notification } from './notifier.ts'
import { type Wording, wordsOf } from './wording.ts'

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
  /** Of the device, as the registry has it; '' where it says nothing. */
  readonly name: string
  readonly line: string
  readonly location: string
  /** Of the dashboard at that time; '' without `dashboard_url`. */
  readonly link: string
  /** Some lines for people. */
  readonly text: string
  /** Only where it is told for another reason than that it fires or is over. */
  readonly reason?: Notification['reason']
  /** Of a group or a digest. */
  readonly episodes?: readonly (Omit<NamedEpisode, 'startedAtMs' | 'atMs'> & { startedAt: string; at: string })[]
}

export function payloadOf(notification: Notification, wording: Wording = {}): NotificationPayload {
  const { key, transition, reason, episodes } = notification
  const { state, place = { name: '', line: '', location: '' } } = transition
  const { title, text, facts } = wordsOf(notification, wording)
  return {
    version: 1,
    key,
    episode: transition.episode,
    state: state === 'resolved' ? 'resolved' : 'firing',
    severity: transition.severity,
    title,
    message: transition.message,
    rule: transition.rule,
    detector: transition.detector,
    site: transition.site,
    device: transition.device,
    kind: transition.kind,
    field: transition.field,
    label: transition.label,
    unit: transition.unit,
    value: transition.value,
    expected: transition.expected,
    lower: transition.lower,
    upper: transition.upper,
    startedAt: new Date(transition.startedAtMs).toISOString(),
    at: new Date(transition.atMs).toISOString(),
    name: place.name,
    line: place.line,
    location: place.location,
    link: facts.link,
    text,
    ...(reason === undefined ? {} : { reason }),
    ...(episodes === undefined ? {} : { episodes: episodes.map(namedEpisode) }),
  }
}

const namedEpisode = ({ startedAtMs, atMs, ...rest }: NamedEpisode) => ({
  ...rest,
  startedAt: new Date(startedAtMs).toISOString(),
  at: new Date(atMs).toISOString(),
})
