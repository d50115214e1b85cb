/** Notifications: of one episode, or of several in one. */
import { createHash } from 'node:crypto'
import { sayTime } from '../detectors/index.ts'
import type { Notification } from '../notifiers/notifier.ts'
import { BUNDLE_ITEMS_MAX, type Bundle, type Telling } from './desk-state.ts'
import type { AlertTransition } from './episode.ts'
import { SEVERITIES } from './rule.ts'

/** Named in the message; the list in the payload names them all. */
const NAMED_MAX = 10
export const DIGEST = 'digest'

/** `<episode>/firing`, and so on: one a telling and receiver. */
const keyOf = ({ reason, n, transition: { episode } }: Telling): string =>
  `${episode}/${reason === 'repeated' ? `firing-${n}` : reason}`

export const singleNotification = (telling: Telling): Notification => ({
  key: keyOf(telling),
  transition: telling.transition,
  ...(telling.reason === 'escalated' || telling.reason === 'repeated' ? { reason: telling.reason } : {}),
})

/** One that ended before it was told is told once, as one that came and went. */
export function addToBundle(bundle: Bundle, telling: Telling): void {
  const { episode } = telling.transition
  if (telling.reason === 'resolved') bundle.items = bundle.items.filter((one) => one.transition.episode !== episode)
  if (bundle.items.length < BUNDLE_ITEMS_MAX) bundle.items.push(telling)
  else bundle.more += 1
}

/** @param group undefined: what is beyond a receiver's limit. @param items one at least */
export function bundleNotification(items: readonly Telling[], more: number, group: Bundle['group']): Notification {
  const all = items.map(({ transition }) => transition)
  const first = all[0] as AlertTransition
  const isOver = items.every(({ reason }) => reason === 'resolved') && more === 0
  const sites = new Set(all.map(({ site }) => site))
  const atMs = Math.max(...all.map((one) => one.atMs))
  const rule = group?.rule ?? DIGEST
  const id = createHash('sha256')
    .update([rule, ...items.map(keyOf)].join('\n'))
    .digest('hex')
    .slice(0, 16)
  const transition: AlertTransition = {
    ...first,
    episode: id,
    rule,
    state: isOver ? 'resolved' : 'firing',
    severity: SEVERITIES[Math.max(...all.map(({ severity }) => SEVERITIES.indexOf(severity)))] ?? first.severity,
    site: group?.site ?? (sites.size === 1 ? first.site : '*'),
    device: '*',
    kind: '',
    field: '',
    detector: '',
    label: '',
    unit: '',
    value: items.length + more,
    expected: null,
    lower: null,
    upper: null,
    message: sayBundle(items, more, group),
    startedAtMs: Math.min(...all.map(({ startedAtMs }) => startedAtMs)),
    atMs,
  }
  const episodes = items.map(({ reason, transition: one }) => ({
    episode: one.episode,
    state: reason === 'resolved' ? ('resolved' as const) : ('firing' as const),
    severity: one.severity,
    rule: one.rule,
    site: one.site,
    device: one.device,
    kind: one.kind,
    field: one.field,
    message: one.message,
    startedAtMs: one.startedAtMs,
    atMs: one.atMs,
  }))
  return { key: `${id}/${transition.state}`, transition, reason: group ? 'group' : DIGEST, episodes }
}

function sayBundle(items: readonly Telling[], more: number, group: Bundle['group']): string {
  const count = items.length + more
  const over = items.filter(({ reason }) => reason === 'resolved')
  const begun = items.filter(({ reason }) => reason !== 'resolved')
  const names = (of: readonly Telling[]) => [
    ...new Set(of.map(({ transition: { device, field } }) => (field === '' ? device : `${device} ${field}`))),
  ]
  const say = (of: readonly Telling[], word: string) => {
    if (of.length === 0) return []
    const all = names(of)
    return `${of.length} ${word}: ${all.slice(0, NAMED_MAX).join(', ')}${all.length > NAMED_MAX ? ', …' : ''}`
  }
  const since = sayTime(Math.min(...items.map(({ transition }) => transition.startedAtMs)))
  const what = group
    ? `${count} alerts of ${group.rule} since ${since}`
    : `${count} notifications beyond the limit of this hour, since ${since}`
  const rest = more > 0 ? [`${more} more that are not named`] : []
  return [what, [say(begun, 'firing'), say(over, 'over'), rest].flat().join('; ')].join(': ')
}
