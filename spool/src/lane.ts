/** What one lane of the pump has in flight. The cursor follows its acknowledgements in the order of sending. */
import type { Spool } from './spool.ts'

export type PumpLane = 'live' | 'backlog'

interface Flight {
  readonly from: number
  readonly to: number
  readonly bytes: number
  acknowledged: boolean
}

export interface Lane {
  readonly name: PumpLane
  /** The next sequence to be looked at, and the first one that is not this lane's. */
  next: number
  end: number
  /** In ascending order. */
  readonly flights: readonly Flight[]
  readonly bytes: number
  /** A record goes out. @returns to be called when it was acknowledged */
  sent(sequence: number, bytes: number): () => void
  /** From `next` to here all is lost: there is nobody to wait for. */
  lost(toSequence: number): void
}

export function createLane(name: PumpLane, spool: Spool, next = 1, end = Number.POSITIVE_INFINITY): Lane {
  const flights: Flight[] = []
  let bytesInFlight = 0
  const markSent = () => {
    while (flights[0]?.acknowledged) {
      const { from, to, bytes } = flights.shift() as Flight
      bytesInFlight -= bytes
      spool.markSentRange(from, to)
    }
  }
  const lane: Lane = {
    name,
    next,
    end,
    flights,
    get bytes() {
      return bytesInFlight
    },
    sent(sequence, bytes) {
      const flight = { from: sequence, to: sequence, bytes, acknowledged: false }
      flights.push(flight)
      bytesInFlight += bytes
      lane.next = sequence + 1
      return () => {
        flight.acknowledged = true
        markSent()
      }
    },
    lost(toSequence) {
      if (toSequence < lane.next) return
      flights.push({ from: lane.next, to: toSequence, bytes: 0, acknowledged: true })
      lane.next = toSequence + 1
      markSent()
    },
  }
  return lane
}
