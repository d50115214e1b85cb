/** Whether people were told rightly: of each episode once, of no old story, and of what the simulator really brought about. Pure. */
import type { NotificationPayload } from '@tributary/cloud-processor'
import type { LedgerEvent } from '@tributary/firmware-sim'
import type { Span } from '../stored-values.ts'

export interface HeardAlert {
  /** Idempotency key; a receiver drops what comes again under the same one. */
  readonly key: string
  readonly payload: NotificationPayload
  readonly heardAtMs: number
}

export type LedgerAnomaly = Extract<LedgerEvent, { type: 'anomaly' }>

/** The longest outage of a run, and the time to recover from it; what is told later than this comes from a backfill. */
export const TOLD_MS_MAX = 120_000
/** A live reading has reached the detectors, and its verdict a checkpoint, after so long: what comes then may delay people, and no more. */
const TOLD_AT_ONCE_MS = 4_000
/** A verdict stands at the time of a sample, an anomaly at a scheduled time between samples. */
const SLACK_MS = 1_000

/**
 * @param heard in order of arrival, each key once
 * @param calm spans without fault or recovery: a threshold that is crossed in one of them, and not at its very end, must have been told
 * @returns what is wrong, a sentence each
 */
export function mistakesInAlerts(
  heard: readonly HeardAlert[],
  anomalies: readonly LedgerAnomaly[],
  calm: readonly Span[],
): string[] {
  const firing = heard.filter(({ payload }) => payload.state === 'firing')
  return [
    ...toldTwice(heard),
    ...overlapping(heard.map(({ payload }) => payload)),
    ...firing.flatMap(({ payload, heardAtMs }) => [
      ...(heardAtMs - startOf(payload) <= TOLD_MS_MAX
        ? []
        : [`${nameOf(payload)} was told ${seconds(heardAtMs - startOf(payload))} after it began: a backfill pages`]),
      ...(payload.detector === 'silence' && !payload.kind.endsWith('_health') && payload.kind !== 'host'
        ? [`${nameOf(payload)} was told, though every device kept measuring`]
        : []),
    ]),
    ...anomalies.flatMap((anomaly) =>
      mistakesAbout(
        anomaly,
        firing.map(({ payload }) => payload),
        calm,
      ),
    ),
  ]
}

/** One episode and state under two keys. */
function toldTwice(heard: readonly HeardAlert[]): string[] {
  const keys = new Map<string, string>()
  return heard.flatMap(({ key, payload }) => {
    const told = `${payload.episode} ${payload.state}`
    const before = keys.get(told)
    keys.set(told, key)
    return before === undefined || before === key ? [] : [`${nameOf(payload)} was told as ${payload.state} twice`]
  })
}

/** Two episodes of one series and rule at the same event time are one episode told as two. */
function overlapping(told: readonly NotificationPayload[]): string[] {
  const bySeries = new Map<string, Map<string, { first: NotificationPayload; untilMs: number }>>()
  for (const payload of told) {
    const { site, device, kind, field, rule, episode } = payload
    const series = `${site}/${device}/${kind}/${field}/${rule}`
    const episodes = bySeries.get(series) ?? new Map()
    bySeries.set(series, episodes)
    const untilMs = payload.state === 'resolved' ? Date.parse(payload.at) : Number.POSITIVE_INFINITY
    const known = episodes.get(episode)
    episodes.set(episode, { first: payload, untilMs: Math.min(untilMs, known?.untilMs ?? untilMs) })
  }
  return [...bySeries.values()].flatMap((episodes) => {
    const inOrder = [...episodes.values()].sort((a, b) => startOf(a.first) - startOf(b.first))
    return inOrder.flatMap((episode, i) => {
      const before = inOrder[i - 1]
      // One whose end was not heard yet may still be told of.
      return before && startOf(episode.first) < before.untilMs && before.untilMs !== Number.POSITIVE_INFINITY
        ? [`${nameOf(episode.first)} and ${nameOf(before.first)} overlap: one episode told as two`]
        : []
    })
  })
}

function mistakesAbout(
  { device, field, fromMs, untilMs }: LedgerAnomaly,
  firing: readonly NotificationPayload[],
  calm: readonly Span[],
): string[] {
  const about = firing.filter(
    (payload) =>
      payload.device === device &&
      payload.field === field &&
      payload.detector.startsWith('threshold') &&
      startOf(payload) >= fromMs - SLACK_MS &&
      startOf(payload) <= untilMs + SLACK_MS,
  )
  const episodes = new Set(about.map((payload) => payload.episode)).size
  const what = `${device} ${field} over its threshold from ${clockOf(fromMs)} to ${clockOf(untilMs)}`
  if (episodes > 1) return [`${what}: told as ${episodes} episodes`]
  const isCalm = calm.some((span) => span.fromMs <= fromMs - SLACK_MS && fromMs + TOLD_AT_ONCE_MS <= span.untilMs)
  return episodes === 0 && isCalm ? [`${what}, and nobody was told`] : []
}

const startOf = (payload: NotificationPayload) => Date.parse(payload.startedAt)
const clockOf = (timeMs: number) => new Date(timeMs).toISOString().slice(11, 19)
const seconds = (ms: number) => `${Math.round(ms / 1000)} s`
const nameOf = (payload: NotificationPayload) =>
  `alert ${payload.rule} of ${payload.device} at ${payload.startedAt} (${payload.episode})`
