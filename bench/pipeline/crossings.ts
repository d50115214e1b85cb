/** Devices that cross a threshold in turn and come back: each crossing is an alert of its own. */
import { KIND, type Message } from './workload.ts'

const DEVICES = 20
/** Rounds between two crossings: seldom enough that one does not wait for another's checkpoint, and no divisor of what batches take. */
const ROUNDS_APART = 11
/** After so many the device is back. */
const ROUNDS_ABOVE = 25
/** Above the contract's 35 °C, below its 45 °C. */
const ABOVE_C = 40
const BELOW_C = 20

/** `alerts.yaml`: one alert a crossing, and nobody is told of anything else. */
export const CROSSING_RULES = {
  rules: [
    { name: 'crossing', match: { kind: KIND, detector: 'threshold_above_35' }, keep_firing_for: '0s' },
    { name: 'others', notify: [] },
  ],
  limit: { per_hour: 100_000 },
}

export interface Crossings {
  /** So far. */
  readonly count: number
  /** Rounds in which so many devices cross, the last ones' return among them. */
  roundsFor(crossings: number): number
  /** What is measured at `timeMs`: one crossing at most, and those that return. */
  round(timeMs: number): Message[]
}

export function createCrossings(): Crossings {
  let rounds = 0
  let count = 0
  const sample = (crossing: number, timeMs: number, temperature_c: number): Message => ({
    topic: `sensors/alarm-${(crossing % DEVICES) + 1}/sample`,
    payload: Buffer.from(JSON.stringify({ time_ms: timeMs, temperature_c })),
    readings: 1,
  })
  return {
    get count() {
      return count
    },
    roundsFor: (crossings) => crossings * ROUNDS_APART + ROUNDS_ABOVE,
    round(timeMs) {
      const round = rounds++
      const messages: Message[] = []
      if (round % ROUNDS_APART === 0) messages.push(sample(count++, timeMs, ABOVE_C))
      const back = round - ROUNDS_ABOVE
      if (back >= 0 && back % ROUNDS_APART === 0) messages.push(sample(back / ROUNDS_APART, timeMs, BELOW_C))
      return messages
    },
  }
}
