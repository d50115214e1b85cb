/**
 * Prometheus' Alertmanager, API v2: it groups, silences and routes, and knows an alert by its labels. What still stands is told
 * again every so often, because it forgets: see DESIGN.md, "Standing alerts".
 */
import type { Clock } from '@tributary/runtime'
import { type HttpTarget, postJson } from './http-post.ts'
import type { Notification, Notifier } from './notifier.ts'
import { type Wording, wordsOf } from './wording.ts'

/** `url` is the server, without `/api/v2/alerts`. */
export interface AlertmanagerOptions extends HttpTarget, Wording {
  /** More labels on each, to be routed by. */
  readonly labels: Readonly<Record<string, string>>
  readonly repeatEveryMs: number
}

export function alertmanagerNotifier(options: AlertmanagerOptions, { clock }: { readonly clock: Clock }): Notifier {
  const target = { ...options, url: `${options.url.replace(/\/+$/, '')}/api/v2/alerts` }
  const post = (all: readonly Notification[], signal: AbortSignal) => {
    const alerts = all.map((one) => alertOf(one, options, clock.wallMs()))
    const [first] = all
    const headers: Record<string, string> =
      all.length === 1 && first !== undefined ? { 'idempotency-key': first.key } : {}
    return postJson(target, JSON.stringify(alerts), headers, { clock, signal })
  }
  return {
    name: options.name,
    send: (notification, signal) => post([notification], signal),
    standing: {
      everyMs: options.repeatEveryMs,
      repeat: async (all, signal) => {
        await post(all, signal)
      },
    },
  }
}

/**
 * The labels are the same from the first word to the last: by them Alertmanager finds the alert that ends. Times do not lie in
 * its future, where an end would not be one yet.
 */
function alertOf(notification: Notification, options: AlertmanagerOptions, nowMs: number): object {
  const { transition } = notification
  const { title, text, facts } = wordsOf(notification, options)
  const { rule, severity, site, device, kind, field, detector, state } = transition
  const startsAtMs = Math.min(transition.startedAtMs, nowMs)
  const endsAtMs = Math.max(startsAtMs, Math.min(transition.atMs, nowMs))
  return {
    startsAt: new Date(startsAtMs).toISOString(),
    ...(state === 'resolved' ? { endsAt: new Date(endsAtMs).toISOString() } : {}),
    labels: withoutEmpty({ ...options.labels, alertname: rule, severity, site, device, kind, field, detector }),
    annotations: withoutEmpty({
      summary: title,
      description: text,
      message: facts.message,
      value: facts.value,
      unit: facts.unit,
      expected: facts.expected,
      lower: facts.lower,
      upper: facts.upper,
      place: facts.place,
      name: facts.name,
      since: facts.since,
      episode: facts.episode,
      dashboard: facts.link,
    }),
    ...(facts.link === '' ? {} : { generatorURL: facts.link }),
  }
}

const withoutEmpty = (texts: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ''))
