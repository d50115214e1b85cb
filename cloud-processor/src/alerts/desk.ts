/**
 * Who is told what, and when. Pure: transitions, requests of operators and ticks of the stream in; notifications into the outbox, and
 * what is to be recorded, out.
 *
 * Guarantee: each receiver is told once that an episode fires, and once that it is over if it was told that it fires. What is inhibited or
 * silenced is recorded and told to nobody; when the reason ends and it still fires, it is told then. An acknowledged one is neither
 * escalated nor repeated.
 *
 * What people wait for (escalation, repetition, groups, digests, silences) goes by ticks: messages of the partition's stream, with the
 * time at which it received them. Event time will not do: that of a dead agent stands still. A message's own time will not do either: a
 * processor that was away would find an hour of them at once, and escalate what nobody had the time to see. A tick is made by a
 * processor that works.
 */
import type { Notification } from '../notifiers/notifier.ts'
import type { OutboxState } from '../notifiers/outbox-state.ts'
import { enqueueFor, forgetStanding, type OutboxLimits } from '../notifiers/outbox-state.ts'
import { addToBundle, bundleNotification, singleNotification } from './bundle.ts'
import type { Bundle, DeskState, FiringAlert, Hold, Telling } from './desk-state.ts'
import { BUNDLES_MAX } from './desk-state.ts'
import { type AlertTransition, episodeKey } from './episode.ts'
import { createHolds, isHeld } from './hold.ts'
import type { AlertRule } from './rule.ts'
import type { RulesFile } from './rules-file.ts'

/** What the measurement `alert` stores. */
export interface Recorded {
  readonly transition: AlertTransition
  /** Why nobody was told of it; null: it was, or nobody is to be. */
  readonly held: Hold | null
  /** It is no reading's doing, and has no event time of its own: entered behind what is known of the episode. */
  readonly isAfter?: true
  /** Of an acknowledgement or an end: when the episode fired, event time; undefined when it never did. */
  readonly firedAtMs?: number | undefined
  /** What was entered of the episode until now: this is entered behind it. */
  readonly behindMs?: number | undefined
  readonly by?: string
  readonly comment?: string
}

/** Where tellings go, and by whose time. */
export interface Office {
  readonly outbox: OutboxState
  /** When the stream received the message that is worked on. */
  readonly receivedAtMs: number
}

export interface Desk {
  readonly unreachableAfterMs: number
  /** Deals with the transitions of one message. */
  take(state: DeskState, transitions: readonly AlertTransition[], office: Office): Recorded[]
  /** Time went on. */
  tick(state: DeskState, office: Office): Recorded[]
  /** A reason not to tell has gone: what still fires is told. */
  release(state: DeskState, office: Office): Recorded[]
}

export interface DeskOptions {
  /** Names of all notifiers. */
  readonly receivers: readonly string[]
  /** Those that group and limit by themselves: each alert is told alone, at once, so that each has its own beginning and end. */
  readonly groupingReceivers?: readonly string[]
  readonly outboxLimits: OutboxLimits
  /** As it is written now. */
  readonly ruleNamed: (name: string) => AlertRule | undefined
}

/** Ticks that are farther apart have been missed: nobody could be heard between them. */
export const DEAF_MS = 20_000
const HOUR_MS = 3_600_000
const RANK: Readonly<Record<AlertTransition['state'], number>> = {
  historical: 0,
  resolved: 1,
  pending: 2,
  firing: 3,
  acknowledged: 4,
  escalated: 5,
}

export function createDesk(
  { inhibit, group, limit, unreachable }: Pick<RulesFile, 'inhibit' | 'group' | 'limit' | 'unreachable'>,
  { receivers, groupingReceivers = [], outboxLimits, ruleNamed }: DeskOptions,
): Desk {
  const holdOf = createHolds({ inhibit })
  const named = (notify: readonly string[] | 'all') =>
    notify === 'all' ? receivers : receivers.filter((name) => notify.includes(name))

  /** To one receiver: with others of its group, at once, or in the digest of what is beyond the limit. */
  function tell(state: DeskState, receiver: string, telling: Telling, office: Office): void {
    const { site, rule, episode } = telling.transition
    const key = `group ${site} ${rule} ${receiver}`
    // Its end must not overtake its beginning: it goes where that still waits, whatever the rules and the limit say by now.
    const waiting = [key, digestKey(receiver)]
      .map((one) => state.bundles[one])
      .find((bundle) => bundle?.items.some((item) => item.transition.episode === episode))
    if (telling.reason === 'resolved' && waiting) {
      addToBundle(waiting, telling)
      return
    }
    const isGrouped =
      group !== undefined &&
      !groupingReceivers.includes(receiver) &&
      (telling.reason === 'firing' || telling.reason === 'resolved')
    if (isGrouped && (key in state.bundles || Object.keys(state.bundles).length < BUNDLES_MAX)) {
      state.bundles[key] ??= { receiver, group: { site, rule }, items: [], more: 0, sinceMs: null, sentAtMs: null }
      addToBundle(state.bundles[key], telling)
    } else send(state, receiver, [telling], 0, office, undefined)
  }

  function send(
    state: DeskState,
    receiver: string,
    items: readonly Telling[],
    more: number,
    office: Office,
    about: Bundle['group'],
  ): void {
    const { receivedAtMs } = office
    state.budgets[receiver] ??= { fromMs: receivedAtMs, told: 0 }
    const budget = state.budgets[receiver]
    if (budget.told >= limit.per_hour && !groupingReceivers.includes(receiver)) {
      const key = digestKey(receiver)
      state.bundles[key] ??= { receiver, items: [], more: 0, sinceMs: null, sentAtMs: null }
      for (const item of items) addToBundle(state.bundles[key], item)
      state.bundles[key].more += more
      return
    }
    budget.told += 1
    const [only] = items
    const notification =
      items.length === 1 && more === 0 && only ? singleNotification(only) : bundleNotification(items, more, about)
    deliver(receiver, notification, office)
  }

  function deliver(receiver: string, notification: Notification, { outbox, receivedAtMs }: Office): void {
    enqueueFor(outbox, receiver, { ...notification, queuedAtMs: receivedAtMs }, outboxLimits)
  }

  function begin(state: DeskState, alert: FiringAlert, office: Office): void {
    alert.held = null
    alert.told = [...named(alert.transition.notify)]
    for (const receiver of alert.told) tell(state, receiver, { reason: 'firing', transition: alert.transition }, office)
  }

  function end(state: DeskState, transition: AlertTransition, alert: FiringAlert | undefined, office: Office): void {
    // One that began before the desk kept account was told to all whom its rule names.
    const told = alert === undefined ? named(transition.notify) : receivers.filter((name) => alert.told.includes(name))
    for (const receiver of told) tell(state, receiver, { reason: 'resolved', transition }, office)
  }

  function release(state: DeskState, office: Office): Recorded[] {
    const out: Recorded[] = []
    for (const alert of Object.values(state.firing)) {
      if (!isHeld(alert)) continue
      alert.held = holdOf(state, alert.transition)
      if (isHeld(alert)) continue
      begin(state, alert, office)
      out.push({ transition: alert.transition, held: null, isAfter: true })
    }
    return out
  }

  /** Nobody has acknowledged, and nothing says that people are to be spared. Also of what nobody is told at first: it may escalate. */
  function remind(state: DeskState, alert: FiringAlert, office: Office): Recorded[] {
    const { transition } = alert
    if (isHeld(alert) || alert.acknowledged) return []
    const nowMs = office.receivedAtMs
    alert.sinceMs ??= nowMs
    const { escalate, repeatMs } = ruleNamed(transition.rule) ?? {}
    const isEscalating = escalate !== undefined && !alert.isEscalated && nowMs - alert.sinceMs >= escalate.afterMs
    const isRepeating = repeatMs !== undefined && nowMs - (alert.repeatedAtMs ?? alert.sinceMs) >= repeatMs
    if (!(isEscalating || isRepeating) || holdOf(state, transition)) return []
    if (isRepeating) {
      alert.repeats += 1
      alert.repeatedAtMs = nowMs
      for (const receiver of named(alert.told))
        tell(state, receiver, { reason: 'repeated', n: alert.repeats, transition }, office)
    }
    if (!isEscalating) return []
    alert.isEscalated = true
    for (const receiver of named(escalate.notify)) {
      if (!alert.told.includes(receiver)) alert.told.push(receiver)
      tell(state, receiver, { reason: 'escalated', transition }, office)
    }
    return [{ transition: { ...transition, state: 'escalated' }, held: null, isAfter: true }]
  }

  function flush(state: DeskState, office: Office): void {
    const nowMs = office.receivedAtMs
    for (const [key, bundle] of Object.entries(state.bundles)) {
      const { receiver, items, more, group: of } = bundle
      const waitMs = of ? (group?.wait ?? 0) : limit.digest
      const restMs = of ? (group?.interval ?? 0) : 0
      const isRested = bundle.sentAtMs === null || nowMs - bundle.sentAtMs >= restMs
      if (items.length === 0) {
        if (isRested) delete state.bundles[key]
        continue
      }
      bundle.sinceMs ??= nowMs
      if (!isRested || nowMs - bundle.sinceMs < waitMs) continue
      Object.assign(bundle, { items: [], more: 0, sinceMs: null, sentAtMs: nowMs })
      if (of) send(state, receiver, items, more, office, of)
      else deliver(receiver, bundleNotification(items, more, undefined), office)
    }
  }

  return {
    unreachableAfterMs: unreachable.after,
    take(state, transitions, office) {
      // In the order of time, as if each reading had come alone; what begins at the same moment is known before anything is told.
      const ordered = inOrder(transitions)
      const out: Recorded[] = []
      for (let from = 0, to = 0; from < ordered.length; from = to) {
        while (to < ordered.length && ordered[to]?.atMs === ordered[from]?.atMs) to += 1
        const moment = ordered.slice(from, to)
        for (const transition of moment)
          if (transition.state === 'firing') state.firing[transition.episode] = firingAlert(transition)
        for (const transition of moment) {
          const alert = state.firing[transition.episode]
          if (transition.state === 'firing' && alert) {
            alert.held = holdOf(state, transition)
            out.push({ transition, held: alert.held })
            if (!isHeld(alert)) begin(state, alert, office)
            continue
          }
          const isEnd = transition.state === 'resolved'
          const firedAtMs = isEnd ? alert?.transition.atMs : undefined
          out.push({ transition, held: alert?.held ?? null, behindMs: alert?.recordedAtMs, firedAtMs })
          if (!isEnd) continue
          end(state, transition, alert, office)
          delete state.firing[transition.episode]
        }
        if (moment.some(({ state: to }) => to === 'resolved')) out.push(...release(state, office))
      }
      return out
    },
    tick(state, office) {
      const nowMs = office.receivedAtMs
      if (nowMs < state.tickedAtMs) setBack(state, nowMs)
      if (state.tickedAtMs === 0 || nowMs - state.tickedAtMs > DEAF_MS) state.listeningSinceMs = nowMs
      state.tickedAtMs = nowMs
      forgetStanding(office.outbox, receivers)
      for (const { id, untilMs } of Object.values(state.silences)) if (untilMs <= nowMs) delete state.silences[id]
      for (const [receiver, { fromMs }] of Object.entries(state.budgets))
        if (nowMs - fromMs >= HOUR_MS) delete state.budgets[receiver]
      const out = release(state, office)
      for (const alert of Object.values(state.firing)) out.push(...remind(state, alert, office))
      flush(state, office)
      return out
    },
    release,
  }
}

/**
 * Of what happens at one moment ends come first, but for what begins and ends in it; the rest is a matter of names, and not of the order
 * of columns.
 */
function inOrder(transitions: readonly AlertTransition[]): AlertTransition[] {
  const begins = new Map<string, number>()
  for (const { state, episode, atMs } of transitions)
    if (state === 'pending' || state === 'firing') begins.set(episode, atMs)
  const rank = ({ state, episode, atMs }: AlertTransition) =>
    state === 'resolved' && begins.get(episode) === atMs ? RANK.firing + 1 : RANK[state]
  return [...transitions].sort(
    (a, b) => a.atMs - b.atMs || rank(a) - rank(b) || (episodeKey(a) < episodeKey(b) ? -1 : 1),
  )
}

/** The clock of the stream's server was ahead (a Pi begins with the wrong time): nothing waits for what it said then. */
function setBack(state: DeskState, nowMs: number): void {
  const noLater = (atMs: number | null) => (atMs === null ? null : Math.min(atMs, nowMs))
  state.listeningSinceMs = nowMs
  for (const alert of Object.values(state.firing)) {
    alert.sinceMs = noLater(alert.sinceMs)
    alert.repeatedAtMs = noLater(alert.repeatedAtMs)
  }
  for (const bundle of Object.values(state.bundles)) {
    bundle.sinceMs = noLater(bundle.sinceMs)
    bundle.sentAtMs = noLater(bundle.sentAtMs)
  }
  for (const budget of Object.values(state.budgets)) budget.fromMs = Math.min(budget.fromMs, nowMs)
}

const digestKey = (receiver: string): string => `digest ${receiver}`

export const firingAlert = (transition: AlertTransition): FiringAlert => ({
  transition,
  told: [],
  held: null,
  acknowledged: null,
  sinceMs: null,
  isEscalated: false,
  repeats: 0,
  repeatedAtMs: null,
})
