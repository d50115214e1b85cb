/** What can be said of an alert, as text: what templates name, and what the defaults are made of. */
import { sayDuration, sayTime } from '../detectors/index.ts'
import { dashboardLink } from './dashboard-link.ts'
import { oneLine } from './escape.ts'
import type { Notification } from './notifier.ts'

/** Each is one line; '' for what is not known or does not apply. */
export interface Facts {
  readonly device: string
  readonly site: string
  /** What people call the device. */
  readonly name: string
  readonly line: string
  readonly location: string
  /** Site, line and location. */
  readonly place: string
  readonly kind: string
  readonly field: string
  readonly label: string
  readonly detector: string
  readonly rule: string
  readonly severity: string
  readonly state: string
  /** Why it is told, when that is not the state alone. */
  readonly reason: string
  readonly message: string
  readonly value: string
  readonly unit: string
  readonly expected: string
  readonly lower: string
  readonly upper: string
  /** When it began. */
  readonly since: string
  /** When it came to this state. */
  readonly at: string
  /** From the one to the other. */
  readonly duration: string
  readonly episode: string
  readonly link: string
}

/** @param dashboardUrl '' for none */
export function factsOf(
  { transition, reason }: Pick<Notification, 'transition' | 'reason'>,
  dashboardUrl: string,
): Facts {
  const { device, startedAtMs, atMs, place = { name: '', line: '', location: '' } } = transition
  const site = transition.site === '*' ? '' : transition.site
  const where = [site, place.line === '' ? '' : `line ${place.line}`, place.location]
  const facts: Facts = {
    device: device === '*' ? '' : device,
    site,
    ...place,
    place: where.filter((text) => text !== '').join(', '),
    kind: transition.kind,
    field: transition.field,
    label: transition.label,
    detector: transition.detector,
    rule: transition.rule,
    severity: transition.severity,
    state: transition.state,
    reason: reason ?? '',
    message: transition.message,
    value: sayMeasured(transition.value),
    unit: transition.unit,
    expected: sayMeasured(transition.expected),
    lower: sayMeasured(transition.lower),
    upper: sayMeasured(transition.upper),
    since: sayTime(startedAtMs),
    at: sayTime(atMs),
    duration: sayDuration(Math.max(0, atMs - startedAtMs)),
    episode: transition.episode,
    link: dashboardLink(dashboardUrl, transition),
  }
  return Object.fromEntries(Object.entries(facts).map(([name, fact]) => [name, oneLine(fact)])) as unknown as Facts
}

/** Six digits tell what is wrong. A value that must not be told, or went through JSON as NaN, is none. */
const sayMeasured = (value: number | null): string =>
  value === null || !Number.isFinite(value) ? '' : String(Number(value.toPrecision(6)))

/** What belongs beside the message, in the order in which people ask. */
export function detailsOf(facts: Facts): readonly (readonly [label: string, detail: string])[] {
  const withUnit = (text: string) => (facts.unit === '' ? text : `${text} ${facts.unit}`)
  const limits =
    facts.lower !== '' && facts.upper !== ''
      ? `${facts.lower} to ${withUnit(facts.upper)}`
      : facts.upper !== ''
        ? `at most ${withUnit(facts.upper)}`
        : facts.lower !== ''
          ? `at least ${withUnit(facts.lower)}`
          : ''
  const normal = facts.expected === '' ? limits : `${withUnit(facts.expected)}${limits === '' ? '' : ` (${limits})`}`
  return (
    [
      ['Severity', facts.severity],
      ['Value', facts.value === '' || facts.field === '' ? '' : withUnit(facts.value)],
      ['Expected', facts.field === '' ? '' : normal],
      ['Device', facts.name === '' ? facts.device : `${facts.name} (${facts.device})`],
      ['Place', facts.place],
      ['Since', facts.state === 'resolved' ? `${facts.since}, for ${facts.duration}` : facts.since],
      ['Rule', facts.rule],
    ] as const
  ).filter(([, detail]) => detail !== '')
}
