/** From transitions to the store, to whoever listens on NATS, and through the desk to people. */
import type { AlertTransition, Recorded } from './alerts/index.ts'
import type { StepContext } from './batch-scope.ts'
import type { DeviceRecord } from './device-record.ts'
import type { Effects } from './effects.ts'
import { enrichTransition } from './enrich.ts'
import { fieldKey, linePrefix } from './line-protocol.ts'
import type { PartitionState } from './state.ts'

/** What a message that may say something of alerts is worked on with. */
export interface AlertScope {
  readonly state: PartitionState
  readonly context: StepContext
  readonly effects: Effects
  readonly receivedAtMs: number
  /** Of this message, in the order in which they were found. */
  readonly transitions: AlertTransition[]
  findDevice(device: string): DeviceRecord | undefined
}

export function tell(s: AlertScope, transitions: readonly AlertTransition[]): void {
  for (const transition of transitions)
    s.transitions.push(enrichTransition((device) => s.findDevice(device), transition))
}

/** After all of the message is known. */
export function concludeAlerts(s: AlertScope): void {
  if (s.transitions.length === 0) return
  record(s, s.context.desk.take(s.state.desk, s.transitions, officeOf(s)))
}

export const officeOf = ({ state, receivedAtMs }: AlertScope) => ({ outbox: state.outbox, receivedAtMs })

const KEYS = {
  episode: fieldKey('episode'),
  state: fieldKey('state'),
  severity: fieldKey('severity'),
  kind: fieldKey('kind'),
  value: fieldKey('value'),
  message: fieldKey('message'),
  held: fieldKey('held'),
  by: fieldKey('by'),
  comment: fieldKey('comment'),
  after: fieldKey('after_seconds'),
}

export function record({ state, effects }: Pick<AlertScope, 'state' | 'effects'>, all: readonly Recorded[]): void {
  const { lines } = effects
  for (const { transition, held, isAfter, behindMs, firedAtMs, by, comment } of all) {
    const { site, device, rule, field, detector } = transition
    // One rule may watch several fields, with several detectors: their episodes are points of their own.
    const prefix = linePrefix('alert', { site, device, rule, field, detector })
    lines.begin(prefix)
    lines.string(KEYS.episode, transition.episode)
    lines.string(KEYS.state, transition.state)
    lines.string(KEYS.severity, transition.severity)
    lines.string(KEYS.kind, transition.kind)
    if (Number.isFinite(transition.value)) lines.float(KEYS.value, transition.value, 1000)
    lines.string(KEYS.message, transition.message)
    if (held !== null) lines.string(KEYS.held, `${held.why} by ${held.by}`)
    if (by !== undefined) lines.string(KEYS.by, by)
    if (comment) lines.string(KEYS.comment, comment)
    const { atMs } = transition
    const timeMs = isAfter ? afterMs(state, transition) : behindMs === undefined ? atMs : Math.max(atMs, behindMs + 1)
    if (firedAtMs !== undefined) lines.float(KEYS.after, Math.max(0, timeMs - firedAtMs) / 1_000, 1_000)
    lines.end(prefix, timeMs, 0, -1)
    effects.transitions.push(transition)
  }
}

/** Behind what is known of the episode, and before what will be: whoever asks for its last state is told right. */
function afterMs({ alerts, desk }: PartitionState, { episode, atMs }: AlertTransition): number {
  const seenAtMs = Object.values(alerts.episodes).find(({ id }) => id === episode)?.seenAtMs ?? atMs
  const alert = desk.firing[episode]
  const recordedAtMs = Math.floor(Math.max(atMs, seenAtMs, alert?.recordedAtMs ?? atMs)) + 1
  if (alert) alert.recordedAtMs = recordedAtMs
  return recordedAtMs
}
