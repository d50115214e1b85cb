/**
 * Measures the gateway's clock over MQTT, by ping and pong: of several round trips the shortest tells most. At the moment of its pong our
 * clock stood somewhere between sending and receiving; so the offset is known to half the round trip.
 */
import { type ClockPing, clockPong, parseControlMessage } from '@tributary/protocol'
import { type Clock, isPlausibleTime } from '@tributary/runtime'
import type { GatewayTime } from './clock-trust.ts'

export const PINGS = 8
const PONG_MS_MAX = 2_000
/** A gateway of before does not answer, one in 1970 might as well not: so many pings in vain, one after the other, and the round is over. */
const UNANSWERED_MAX = 2

export interface RoundTrips {
  /** @returns undefined when there is no answer */
  measure(publish: (payload: string) => void, signal: AbortSignal): Promise<GatewayTime | undefined>
  /** What came on the clock topic. */
  heard(payload: Uint8Array): void
}

interface Pong {
  readonly receivedMs: number
  readonly wallMs: number
  readonly trusted: boolean
}

export function createRoundTrips(clock: Clock): RoundTrips {
  let lastId = 0
  let waiting: { id: number; end: (pong?: Pong) => void } | undefined

  const ping = async (publish: (payload: string) => void, signal: AbortSignal): Promise<GatewayTime | undefined> => {
    const id = ++lastId
    const sentMs = clock.monotonicMs()
    // Not `AbortSignal.any`: Node keeps what that makes for as long as the signal lives, which may be months.
    const pong = await new Promise<Pong | undefined>((resolve) => {
      const end = (answer?: Pong) => {
        cancel()
        signal.removeEventListener('abort', giveUp)
        waiting = undefined
        resolve(answer)
      }
      const giveUp = () => end()
      const cancel = clock.after(PONG_MS_MAX, giveUp)
      signal.addEventListener('abort', giveUp, { once: true })
      waiting = { id, end }
      publish(JSON.stringify({ type: 'ping', id } satisfies ClockPing))
    })
    if (!pong || !isPlausibleTime(pong.wallMs)) return undefined
    // The gateway says whole milliseconds: on average it is half of one later.
    const errorMs = (pong.receivedMs - sentMs) / 2 + 0.5
    return { offsetMs: pong.wallMs + 0.5 - (sentMs + pong.receivedMs) / 2, errorMs, trusted: pong.trusted }
  }
  return {
    async measure(publish, signal) {
      let best: GatewayTime | undefined
      let unanswered = 0
      for (let i = 0; i < PINGS && unanswered < UNANSWERED_MAX && !signal.aborted; i++) {
        const time = await ping(publish, signal)
        unanswered = time ? 0 : unanswered + 1
        if (time && (!best || time.errorMs <= best.errorMs)) best = time
      }
      return best
    },
    heard(payload) {
      const receivedMs = clock.monotonicMs()
      const pong = parseControlMessage(clockPong, payload)
      if (pong && pong.id === waiting?.id) waiting.end({ ...pong, receivedMs })
    },
  }
}
