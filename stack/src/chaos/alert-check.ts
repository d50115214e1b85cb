/** Whether people were told rightly: of each episode once, of no old story, and of what the simulator really brought about. Pure. */
import type { AlertTransition } from '@tributary/cloud-processor'
import type { LedgerEvent } from '@tributary/firmware-sim'
import type { Span } from '../stored-values.ts'

export interface HeardAlert {
  /** Idempotency key; a receiver drops what comes again under the same one. */
  readonly key: string
  readonly transition: AlertTransition
  readonly heardAtMs: number
}

export type LedgerAnomaly = Extract<LedgerEvent, { type: 'anomaly' }>

/** The longest outage of a run, and the time to recover from it; what is told later than this comes from a backfill. */
export const TOLD_MS_MAX = 120_000
/** A verdict stands at the time of a sample, an anomaly at a scheduled time between samples. */
const SLACK_MS = 1_000

/**
 * @param heard in order of arrival, each key once
 * @param calm spans without fault or recovery: a threshold that is crossed and seen through in one of them must have been told
 * @returns what is wrong, a sentence each
 */
export function mistakesInAlerts(
  heard: readonly HeardAlert[],
  anomalies: readonly LedgerAnomaly[],
  calm: readonly Span[],
): string[] {
  const firing = heard.filter(({ transition }) => transition.state === 'firing')
  return [
    ...toldTwice(heard),
    ...overlapping(heard),
    ...firing.flatMap(({ transition: t, heardAtMs }) => [
      ...(heardAtMs - t.startedAtMs > TOLD_MS_MAX
        ? [`${nameOf(t)} was told ${seconds(heardAtMs - t.startedAtMs)} after it began: a backfill pages`]
        : []),
      ...(t.detector === 'silence' && !t.kind.endsWith('_health') && t.kind !== 'host'
        ? [`${nameOf(t)} was told, though every device kept measuring`]
        : []),
    ]),
    ...anomalies.flatMap((anomaly) => mistakesAbout(anomaly, firing, calm)),
  ]
}

/** One episode and state under two keys. */
function toldTwice(heard: readonly HeardAlert[]): string[] {
  const keys = new Map<string, string>()
  return heard.flatMap(({ key, transition: t }) => {
    const told = `${t.episode} ${t.state}`
    const before = keys.get(told)
    keys.set(told, key)
    return before === undefined || before === key ? [] : [`${nameOf(t)} was told as ${t.state} twice`]
  })
}

/** Two episodes of one series and rule at the same event time are one episode told as two. */
function overlapping(heard: readonly HeardAlert[]): string[] {
  const bySeries = new Map<string, Map<string, { from: AlertTransition; untilMs: number }>>()
  for (const { transition: t } of heard) {
    const series = `${t.site}/${t.device}/${t.kind}/${t.field}/${t.rule}`
    const episodes = bySeries.get(series) ?? new Map()
    bySeries.set(series, episodes)
    const untilMs = t.state === 'resolved' ? t.atMs : Number.POSITIVE_INFINITY
    const known = episodes.get(t.episode)
    episodes.set(t.episode, { from: t, untilMs: Math.min(untilMs, known?.untilMs ?? untilMs) })
  }
  return [...bySeries.values()].flatMap((episodes) => {
    const inOrder = [...episodes.values()].sort((a, b) => a.from.startedAtMs - b.from.startedAtMs)
    return inOrder.flatMap((episode, i) => {
      const before = inOrder[i - 1]
      return before && episode.from.startedAtMs < before.untilMs && before.untilMs !== Number.POSITIVE_INFINITY
        ? [
            `${nameOf(episode.from)} and the one of ${clockOf(before.from.startedAtMs)} overlap: one episode told as two`,
          ]
        : []
    })
  })
}

function mistakesAbout(anomaly: LedgerAnomaly, firing: readonly HeardAlert[], calm: readonly Span[]): string[] {
  const { device, field, fromMs, untilMs } = anomaly
  const about = new Set(
    firing
      .map(({ transition }) => transition)
      .filter(
        (t) =>
          t.device === device &&
          t.field === field &&
          t.detector.startsWith('threshold') &&
          t.startedAtMs >= fromMs - SLACK_MS &&
          t.startedAtMs <= untilMs + SLACK_MS,
      )
      .map((t) => t.episode),
  )
  const what = `${device} ${field} over its threshold from ${clockOf(fromMs)} to ${clockOf(untilMs)}`
  if (about.size > 1) return [`${what}: told as ${about.size} episodes`]
  const isCalm = calm.some((span) => span.fromMs <= fromMs - SLACK_MS && untilMs + SLACK_MS <= span.untilMs)
  return about.size === 0 && isCalm ? [`${what}, and nobody was told`] : []
}

const clockOf = (timeMs: number) => new Date(timeMs).toISOString().slice(11, 19)
const seconds = (ms: number) => `${Math.round(ms / 1000)} s`
const nameOf = (t: AlertTransition) => `alert ${t.rule} of ${t.device} at ${clockOf(t.startedAtMs)} (${t.episode})`
