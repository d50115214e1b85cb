/**
 * What an unreliable way does to MQTT: repeats PUBLISH packets, old ones too, and changes their order. Sits in the relay between an
 * agent and the gateway. Copies travel under packet identifiers that the agent does not use, and it never sees their PUBACKs.
 */
import { type Clock, systemClock } from '@tributary/runtime'
import type { MakeFilter } from '../relay.ts'
import type { Random } from './random.ts'

export type ShuffleMode = 'off' | 'repeat' | 'reorder'

export interface Shuffle {
  readonly makeFilter: MakeFilter
  set(mode: ShuffleMode): void
  /** Packets sent once more, and packets that another one overtook. */
  readonly counts: { readonly repeated: number; readonly reordered: number }
}

const PUBLISH = 3
const PUBACK = 4
const DISCONNECT = 14
/** PUBLISH packets are held back for so long, then sent in another order: well under the time an agent waits for its PUBACK. */
const HOLD_MS = 1_500
const HELD_MAX = 64
/** Packets that may be sent again. */
const KEPT_MAX = 48
const KEPT_BYTES_MAX = 8 * 1024 * 1024

export function createShuffle(random: Random, clock: Clock = systemClock): Shuffle {
  let mode: ShuffleMode = 'off'
  const kept: Buffer[] = []
  let keptBytes = 0
  const counts = { repeated: 0, reordered: 0 }
  const released = new Set<() => void>()

  const keep = (packet: Buffer) => {
    kept.push(packet)
    keptBytes += packet.length
    while (kept.length > KEPT_MAX || keptBytes > KEPT_BYTES_MAX) keptBytes -= kept.shift()?.length ?? 0
  }
  const makeFilter: MakeFilter = ({ toServer, toClient }) => {
    const up = createPacketSplitter()
    const down = createPacketSplitter()
    const inFlight = new Set<number>()
    const copies = new Set<number>()
    let held: Buffer[] = []
    let cancel: () => void = () => undefined

    const sendCopy = (packet: Buffer) => {
      let identifier = 65_535
      while (inFlight.has(identifier) || copies.has(identifier)) identifier -= 1
      copies.add(identifier)
      const copy = Buffer.from(packet)
      copy.writeUInt16BE(identifier, identifierAt(copy) as number)
      copy[0] = (copy[0] as number) | 0x08
      counts.repeated += 1
      toServer(copy)
    }
    const release = () => {
      cancel()
      released.delete(release)
      const order = mode === 'reorder' ? random.shuffle(held) : held
      for (const [i, packet] of order.entries()) {
        if (held[i] !== packet) counts.reordered += 1
        toServer(packet)
      }
      held = []
    }
    const onPublish = (packet: Buffer, identifier: number) => {
      inFlight.add(identifier)
      keep(packet)
      if (mode === 'reorder' && held.length < HELD_MAX) {
        if (held.length === 0) {
          cancel = clock.after(HOLD_MS, release)
          released.add(release)
        }
        held.push(packet)
        return
      }
      if (held.length > 0) release()
      toServer(packet)
      if (mode === 'repeat') for (let i = 0; i < 3; i++) sendCopy(random.pick(kept))
    }
    return {
      fromClient(bytes) {
        for (const packet of up(bytes)) {
          const type = (packet[0] as number) >> 4
          const at = type === PUBLISH ? identifierAt(packet) : undefined
          if (at !== undefined) onPublish(packet, packet.readUInt16BE(at))
          else {
            if (type === DISCONNECT) release()
            toServer(packet)
          }
        }
      },
      fromServer(bytes) {
        for (const packet of down(bytes)) {
          if ((packet[0] as number) >> 4 === PUBACK && packet.length === 4) {
            const identifier = packet.readUInt16BE(2)
            if (copies.delete(identifier)) continue
            inFlight.delete(identifier)
          }
          toClient(packet)
        }
      },
      end() {
        cancel()
        released.delete(release)
        held = []
      },
    }
  }
  return {
    makeFilter,
    counts,
    set(next) {
      mode = next
      if (next === 'off') for (const release of released) release()
    },
  }
}

/** Where the packet identifier of a PUBLISH stands; undefined for QoS 0, which has none. */
function identifierAt(packet: Buffer): number | undefined {
  if ((((packet[0] as number) >> 1) & 3) === 0) return undefined
  let at = 1
  while ((packet[at] as number) >= 0x80) at += 1
  at += 1
  return at + 2 + packet.readUInt16BE(at)
}

/** Cuts a stream of MQTT into whole packets. Both ends are ours, and the gateway has its own guard against what is not MQTT. */
export function createPacketSplitter(): (bytes: Buffer) => Buffer[] {
  let rest: Buffer = Buffer.alloc(0)
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    const packets: Buffer[] = []
    for (;;) {
      let length = 0
      let at = 1
      for (let shift = 0; ; shift += 7, at += 1) {
        const byte = rest[at]
        if (byte === undefined) return packets
        length += (byte & 0x7f) * 2 ** shift
        if (byte < 0x80) break
      }
      const end = at + 1 + length
      if (rest.length < end) return packets
      packets.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}
