/** The open local alerts: since when each is open, and who is told when one begins or ends. Flows may add their own. */
import type { Clock } from '@tributary/runtime'
import type { Condition } from './local-alerts.ts'

export const ALERTS_MAX = 200

export interface LocalAlert extends Condition {
  readonly sinceMs: number
}
export interface AlertChange {
  readonly state: 'open' | 'closed'
  readonly alert: LocalAlert
}

export interface AlertBook {
  /** What holds now, as far as we see it ourselves. */
  update(conditions: readonly Condition[]): void
  /** A flow opens an alert, or gives it other words. @returns false when there are too many */
  raise(condition: Condition): boolean
  clear(key: string): void
  isOpen(key: string): boolean
  /** Worst first, then oldest first. */
  readonly open: readonly LocalAlert[]
  /** Alerts that found no room. */
  readonly dropped: number
  /** @returns how to end it */
  onChange(listener: (change: AlertChange) => void): () => void
}

const FROM_FLOW = 'flow/'
/** What a flow calls an alert, apart from all that we see ourselves. */
export const flowKey = (name: string): string => `${FROM_FLOW}${name}`
const ORDER = { critical: 0, warning: 1, info: 2 }

export function createAlertBook({ clock }: { clock: Clock }): AlertBook {
  const alerts = new Map<string, LocalAlert>()
  const listeners = new Set<(change: AlertChange) => void>()
  let dropped = 0

  const tell = (state: AlertChange['state'], alert: LocalAlert) => {
    for (const listener of listeners) listener({ state, alert })
  }
  const open = (condition: Condition): boolean => {
    const before = alerts.get(condition.key)
    if (!before && alerts.size >= ALERTS_MAX) {
      dropped += 1
      return false
    }
    const alert = { ...condition, sinceMs: before?.sinceMs ?? clock.wallMs() }
    alerts.set(condition.key, alert)
    if (!before) tell('open', alert)
    return true
  }
  const close = (key: string) => {
    const alert = alerts.get(key)
    if (alert && alerts.delete(key)) tell('closed', alert)
  }
  return {
    update(conditions) {
      const holding = new Set(conditions.map(({ key }) => key))
      for (const key of [...alerts.keys()]) if (!key.startsWith(FROM_FLOW) && !holding.has(key)) close(key)
      for (const condition of conditions) open(condition)
    },
    raise: open,
    clear: close,
    isOpen: (key) => alerts.has(key),
    get open() {
      return [...alerts.values()].sort((a, b) => ORDER[a.severity] - ORDER[b.severity] || a.sinceMs - b.sinceMs)
    },
    get dropped() {
      return dropped
    },
    onChange(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
