/** Whether people were told of each episode as the store has it: once that it fires, once that it is over. Pure. */
import type { NotificationPayload } from '@tributary/cloud-processor'

/** A row of the measurement `alert`. */
export interface StoredTransition {
  readonly episode: string
  readonly state: string
  /** For people. */
  readonly rule: string
  readonly device: string
  /** Somebody is spared it: silenced or inhibited. */
  readonly isHeld: boolean
  /** Event time. */
  readonly atMs: number
}

export interface HeardNotification {
  readonly key: string
  readonly payload: Pick<NotificationPayload, 'episode' | 'state' | 'rule' | 'device' | 'reason' | 'at'>
}

export interface Notifications {
  /** That fired, by the store. */
  readonly episodes: number
  /** Notifications, each key once. */
  readonly firing: number
  readonly resolved: number
  /** Fired, and not over yet. */
  readonly open: number
  /** Deliveries under a key that had been seen before. */
  readonly repeats: number
  /** What is wrong, a sentence each. */
  readonly mistakes: readonly string[]
}

export interface NotificationCheck {
  /** Deliveries whose key the receiver had seen before. */
  readonly repeats: number
  /** Something was killed: they are no mistake. */
  readonly mayRepeat: boolean
  /** When the devices were stopped: what fires later, fires because of that, and is not counted. */
  readonly untilMs?: number | undefined
}

export function checkNotifications(
  allStored: readonly StoredTransition[],
  allHeard: readonly HeardNotification[],
  { repeats, mayRepeat, untilMs = Number.POSITIVE_INFINITY }: NotificationCheck,
): Notifications {
  const late = new Set([
    ...allStored.flatMap(({ episode, state, atMs }) => (state === 'firing' && atMs > untilMs ? [episode] : [])),
    ...allHeard.flatMap(({ payload: { episode, state, at } }) =>
      state === 'firing' && Date.parse(at) > untilMs ? [episode] : [],
    ),
  ])
  const stored = allStored.filter(({ episode }) => !late.has(episode))
  const heard = allHeard.filter(({ payload }) => !late.has(payload.episode))
  const fired = new Map(
    stored.filter(({ state, isHeld }) => state === 'firing' && !isHeld).map((one) => [one.episode, one]),
  )
  const over = new Set(stored.filter(({ state }) => state === 'resolved').map(({ episode }) => episode))
  const told = new Map<string, number>()
  for (const { payload } of heard)
    told.set(`${payload.episode}/${payload.state}`, (told.get(`${payload.episode}/${payload.state}`) ?? 0) + 1)
  const mistakes: string[] = []
  for (const { episode, rule, device } of fired.values()) {
    const name = `${rule} of ${device} (${episode})`
    const firing = told.get(`${episode}/firing`) ?? 0
    const resolved = told.get(`${episode}/resolved`) ?? 0
    if (firing !== 1) mistakes.push(`${name}: told ${firing} times that it fires`)
    if (over.has(episode) ? resolved !== 1 : resolved > 0)
      mistakes.push(`${name}: ${over.has(episode) ? '' : 'not over, and '}told ${resolved} times that it is over`)
  }
  for (const { payload } of heard)
    if (!fired.has(payload.episode))
      mistakes.push(`${payload.rule} of ${payload.device} (${payload.episode}): told, and not in the store as firing`)
  if (repeats > 0 && !mayRepeat) mistakes.push(`${repeats} notifications came again under the same key`)
  return {
    episodes: fired.size,
    firing: heard.filter(({ payload }) => payload.state === 'firing').length,
    resolved: heard.filter(({ payload }) => payload.state === 'resolved').length,
    open: [...fired.keys()].filter((episode) => !over.has(episode)).length,
    repeats,
    mistakes,
  }
}
