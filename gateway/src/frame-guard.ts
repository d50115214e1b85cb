// Guarantee: the broker never holds more than one packet of an announced `packetBytesMax`, nor more than `inFlightMax`
// PUBLISH packets, of this client; what is beyond stays in the socket. It reads MQTT's framing and nothing else.
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { Clock } from '@tributary/runtime'
import type { IngestBudget } from './ingest-budget.ts'
import { Refusal, type RefusalReason } from './refusals.ts'

const CONNECT = 1
const PUBLISH = 3
const LENGTH_BYTES_MAX = 4
const HELD_FOR_READER_BYTES = 256 * 1024
/** A CONNECT with the longest name and password; nothing else comes before we know who it is. */
export const CONNECT_BYTES_MAX = 4 * 1024
/** SUBSCRIBE, PINGREQ and the like. */
export const CONTROL_BYTES_MAX = 4 * 1024

export interface FrameGuard {
  /** What the broker talks to instead of the socket. */
  readonly stream: Duplex
  /** The client is known: packets after CONNECT may pass. */
  open(): void
  /** One PUBLISH was dealt with, in their order. */
  settled(): void
  /** Ends the connection. */
  end(): void
}

export interface FrameGuardOptions {
  readonly packetBytesMax: number
  readonly inFlightMax: number
  /** A packet that makes no progress for this long ends the connection. */
  readonly stallMsMax: number
  readonly budget: IngestBudget
  readonly clock: Clock
  readonly refuse: (reason: RefusalReason, detail: string) => void
}

export function createFrameGuard(socket: Socket, options: FrameGuardOptions): FrameGuard {
  const { packetBytesMax, inFlightMax, stallMsMax, budget, clock, refuse } = options
  /** Chunks from the socket that may not pass yet. */
  let held: Buffer[] = []
  let opened = false
  let connectSeen = false
  let readerFull = false
  let drained: (() => void) | undefined
  let ended = false
  /** Lengths of PUBLISH packets that passed and are not settled. */
  const inFlight: number[] = []
  let cancelStallCheck: () => void = () => undefined
  let bytesPassed = 0

  // The packet being read: its type (-1 between packets), its length so far, and how much of its body is to come.
  let type = -1
  let length = 0
  let lengthBytes = 0
  let remaining = 0

  const stream = new Duplex({
    readableHighWaterMark: HELD_FOR_READER_BYTES,
    read() {
      readerFull = false
      if (held.length > 0 || ended) feed()
    },
    write(chunk: Buffer, _encoding, done) {
      if (socket.write(chunk)) done()
      else drained = done
    },
    writev(chunks, done) {
      if (socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)))) done()
      else drained = done
    },
    final(done) {
      socket.end(done)
    },
    destroy(error, done) {
      cancelStallCheck()
      budget.leave(feed)
      for (const bytes of inFlight.splice(0)) budget.give(bytes)
      held = []
      socket.destroy()
      done(error)
    },
  })
  const fail = (reason: RefusalReason, detail: string) => {
    refuse(reason, detail)
    stream.destroy(new Refusal(reason, detail))
    return 'ended' as const
  }

  /** Whether the packet whose length was just read may pass. */
  const judge = (packetLength: number): 'pass' | 'wait' | 'ended' => {
    if (!connectSeen) {
      if (type !== CONNECT || packetLength > CONNECT_BYTES_MAX)
        return fail('bad_handshake', `the first packet is not a CONNECT of at most ${CONNECT_BYTES_MAX} bytes`)
      connectSeen = true
      return 'pass'
    }
    if (!opened) return 'wait'
    const most = type === PUBLISH ? packetBytesMax : CONTROL_BYTES_MAX
    if (packetLength > most)
      return fail('packet_too_large', `a packet of type ${type} announces ${packetLength} bytes, ${most} are allowed`)
    if (type !== PUBLISH) return 'pass'
    if (inFlight.length >= inFlightMax || !budget.take(packetLength, feed)) return 'wait'
    inFlight.push(packetLength)
    return 'pass'
  }

  /** How many bytes of the chunk may pass now; -1 when the connection was ended. */
  const passable = (chunk: Buffer): number => {
    let at = 0
    while (at < chunk.length) {
      if (remaining > 0) {
        const taken = Math.min(remaining, chunk.length - at)
        remaining -= taken
        at += taken
        continue
      }
      const byte = chunk[at] as number
      if (type < 0) {
        type = byte >> 4
        length = 0
        lengthBytes = 0
      } else {
        const longer = length + (byte & 0x7f) * 128 ** lengthBytes
        if (byte & 0x80) {
          if (lengthBytes + 1 === LENGTH_BYTES_MAX) {
            fail('malformed_packet', 'the length of a packet has more than four bytes')
            return -1
          }
          length = longer
          lengthBytes += 1
        } else {
          const verdict = judge(longer)
          if (verdict === 'ended') return -1
          if (verdict === 'wait') return at
          remaining = longer
          type = -1
        }
      }
      at += 1
    }
    return at
  }

  function feed(): void {
    while (held.length > 0 && !readerFull && !stream.destroyed) {
      const chunk = held[0] as Buffer
      const count = passable(chunk)
      if (count < 0) return
      if (count === chunk.length) held.shift()
      else held[0] = chunk.subarray(count)
      bytesPassed += count
      if (count > 0) readerFull = !stream.push(count === chunk.length ? chunk : chunk.subarray(0, count))
      if (count < chunk.length) break
    }
    if (stream.destroyed) return
    if (held.length > 0) socket.pause()
    else if (ended) stream.push(null)
    else if (socket.isPaused()) socket.resume()
    watchForStall()
  }

  let watching = false
  function watchForStall(): void {
    if (watching || (remaining === 0 && type < 0)) return
    watching = true
    const before = bytesPassed
    cancelStallCheck = clock.after(stallMsMax, () => {
      watching = false
      const stalled = (remaining > 0 || type >= 0) && held.length === 0 && bytesPassed === before
      if (stalled && !stream.destroyed)
        fail('stalled_packet', `the rest of a packet did not come within ${stallMsMax / 1000} s`)
      else if (!stream.destroyed) watchForStall()
    })
  }

  socket.on('data', (chunk: Buffer) => {
    held.push(chunk)
    feed()
  })
  socket.on('drain', () => {
    const done = drained
    drained = undefined
    done?.()
  })
  socket.on('end', () => {
    ended = true
    feed()
  })
  socket.on('error', (error) => stream.destroy(error))
  socket.on('close', () => stream.destroy())

  return {
    stream,
    open() {
      opened = true
      feed()
    },
    settled() {
      const bytes = inFlight.shift()
      if (bytes === undefined) return
      budget.give(bytes)
      feed()
    },
    end: () => void stream.destroy(),
  }
}
