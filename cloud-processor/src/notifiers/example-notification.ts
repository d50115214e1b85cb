/** For tests. */
import type { AlertTransition } from '../alerts/episode.ts'
import type { Notification } from './notifier.ts'
import { enqueueFor, type OutboxLimits, type OutboxState } from './outbox-state.ts'

export function exampleTransition(given: Partial<AlertTransition> = {}): AlertTransition {
  return {
    episode: '0123456789abcdef',
    rule: 'vibration.velocity_rms_mm_s.threshold_above_7.1',
    state: 'firing',
    severity: 'critical',
    site: 'plant',
    device: 'pump-1',
    kind: 'vibration',
    field: 'velocity_rms_mm_s',
    detector: 'threshold_above_7.1',
    label: 'Vibration velocity (RMS)',
    unit: 'mm/s',
    value: 7.9,
    expected: null,
    lower: null,
    upper: 7.1,
    message: 'Vibration velocity (RMS): 7.900 mm/s, 0.800 above the limit 7.1',
    startedAtMs: Date.UTC(2026, 0, 31, 14, 3, 20),
    atMs: Date.UTC(2026, 0, 31, 14, 3, 20),
    notify: 'all',
    place: { name: 'Feed pump', line: '2', location: 'north hall' },
    ...given,
  }
}

export function exampleNotification(given: Partial<AlertTransition> = {}): Notification {
  const transition = exampleTransition(given)
  return { key: `${transition.episode}/${transition.state}`, transition }
}

/** Each transition to all of the receivers whom its rule names. */
export function enqueueAll(
  state: OutboxState,
  transitions: readonly AlertTransition[],
  receivers: readonly string[],
  limits: OutboxLimits = { notificationsPerReceiverMax: 1_000 },
  queuedAtMs?: number,
): void {
  for (const transition of transitions)
    for (const receiver of receivers)
      if (transition.notify === 'all' || transition.notify.includes(receiver)) {
        const notification = exampleNotification(transition)
        enqueueFor(state, receiver, queuedAtMs === undefined ? notification : { ...notification, queuedAtMs }, limits)
      }
}
