/**
 * Whose time counts. Pure: what is known, what was heard, what is known then.
 *
 * 1. The system's clock, when its kernel first says that a time service keeps it right. From then on it counts as long as the kernel says
 *    so and the clock does not jump: a jump is somebody setting it, and changes nothing.
 * 2. Else the gateway's clock, when the gateway trusts it. A gateway that is suddenly elsewhere is believed when the system's clock agrees,
 *    or when it says the same in the next round.
 * 3. Else nobody's: the clock of a gateway that does not trust it, so that a site's agents agree at least; before that, our own as it stood
 *    at the machine's start.
 */
import type { TimeSource } from './boot-times.ts'

/** More than this is no drift and no error of measurement: somebody set a clock. */
export const JUMP_MS = 1_000

export interface ClockKnowledge {
  /** Event time less monotonic time, milliseconds. */
  readonly offsetMs: number
  /** Who vouches for it; undefined: nobody, it is not trusted. */
  readonly by: TimeSource | undefined
  /** The kernel has vouched for the system's clock in this boot. */
  readonly systemVouched: boolean
  /** It does so now, and the system's clock agrees with `offsetMs`. */
  readonly systemKeeps: boolean
  /** Where the system's clock jumped to while the kernel vouched for it. */
  readonly systemJumpedToMs?: number | undefined
  /** Where the gateway was in the last round, when that was elsewhere. */
  readonly gatewayElsewhereMs?: number | undefined
}

export const startKnowledge = (offsetMs: number, by: TimeSource | undefined): ClockKnowledge => ({
  offsetMs,
  by,
  systemVouched: by === 'system',
  systemKeeps: false,
})

/** @param offsetMs wall clock less monotonic clock; @param vouched the kernel says that a time service keeps it right */
export function hearSystem(known: ClockKnowledge, offsetMs: number, vouched: boolean): ClockKnowledge {
  if (!vouched) return { ...known, systemKeeps: false, systemJumpedToMs: undefined }
  const adopted = { ...known, offsetMs, by: 'system', systemVouched: true, systemKeeps: true } as const
  if (!known.systemVouched || Math.abs(offsetMs - known.offsetMs) <= JUMP_MS)
    return { ...adopted, systemJumpedToMs: undefined }
  return { ...known, systemKeeps: false, systemJumpedToMs: offsetMs }
}

export interface GatewayTime {
  /** The gateway's clock less our monotonic clock. */
  readonly offsetMs: number
  /** Half the round trip: the offset lies within this. */
  readonly errorMs: number
  /** The gateway vouches for its clock. */
  readonly trusted: boolean
}

export function hearGateway(known: ClockKnowledge, { offsetMs, errorMs, trusted }: GatewayTime): ClockKnowledge {
  const nearest = Math.min(offsetMs + errorMs, Math.max(offsetMs - errorMs, known.offsetMs))
  const distanceMs = Math.abs(nearest - known.offsetMs)
  if (!trusted)
    return known.by === undefined ? { ...known, offsetMs: distanceMs > JUMP_MS ? offsetMs : nearest } : known
  if (known.by === undefined) return { ...known, offsetMs, by: 'gateway', gatewayElsewhereMs: undefined }
  if (known.systemKeeps) return known
  if (distanceMs <= JUMP_MS) return { ...known, offsetMs: nearest, by: 'gateway', gatewayElsewhereMs: undefined }
  const agreesWith = (otherMs: number | undefined) =>
    otherMs !== undefined && Math.abs(otherMs - offsetMs) <= errorMs + JUMP_MS
  if (agreesWith(known.systemJumpedToMs) || agreesWith(known.gatewayElsewhereMs))
    return { ...known, offsetMs, by: 'gateway', gatewayElsewhereMs: undefined }
  return { ...known, gatewayElsewhereMs: offsetMs }
}
