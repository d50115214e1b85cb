/**
 * A device on a serial line. With acknowledgement it keeps each sample in its outbox until the host has acknowledged it; without,
 * what the line loses is told to the ledger before the bytes go out.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf } from '@tributary/runtime'
import { createAcknowledgementReader } from './acknowledgement.ts'
import { createFraming } from './framing.ts'
import { flipBytes } from './line-fault.ts'
import type { Link, LinkDependencies } from './link.ts'
import { bits, keyOf } from './noise.ts'
import { createOutbox } from './outbox.ts'
import { linkPort, unlinkPort } from './port-link.ts'
import { loadPseudoTerminals, type PseudoTerminal } from './pseudo-terminal.ts'
import type { DeviceConfig } from './scenario.ts'

export const SEND_AGAIN_AFTER_MS = 2_000
/** Bytes that wait for the terminal; then samples stay in the outbox, or are lost when there is no acknowledgement. */
export const WAITING_BYTES_MAX = 64 * 1024
const SAMPLES_PER_TICK_MAX = 1_000
const LOOK_FOR_REPEATS_MS = 200
const GREETING_EVERY_MS = 10_000
/** A host flushes the line as it opens it: what is sent in the meantime would be lost. */
const SETTLE_AFTER_OPEN_MS = 100
/** Without acknowledgement the line is left alone for so long before it is unplugged, so that nothing lies in its buffer. */
const QUIET_BEFORE_UNPLUG_MS = 250
const WRITE_BYTES = 4_096
/** A device that vanishes is gone so soon after its port was opened, at most. */
const VANISH_MS_MAX = 5

type SerialConfig = NonNullable<DeviceConfig['serial']>

export function createSerialLink(
  serial: SerialConfig,
  { folder, seed }: { folder: string; seed: number },
  { model, faults, clock, log, lost }: LinkDependencies,
): Link {
  const { config } = model
  const framing = createFraming(config, serial)
  const outbox = createOutbox(serial.ring_samples, model.firstSequence)
  const acknowledgements = createAcknowledgementReader(framing)
  const key = keyOf(`${config.name} noise`, seed)

  let openTerminal: () => PseudoTerminal = () => {
    throw new Error('not started')
  }
  let terminal: PseudoTerminal | undefined
  /** The device at whose place this one is plugged in: its own name, unless two were swapped. */
  let place = config.name
  let vanishing = false
  let cancelVanish: (() => void) | undefined
  let open = false
  let readyAtMs = 0
  let greetedAtMs = 0
  let lookedAtMs = 0
  /** Frames that wait, and how much of the first has gone already. `sequence`: to be settled when it is through. */
  let waiting: { bytes: Uint8Array; sequence?: number }[] = []
  let waitingBytes = 0
  let firstSent = 0
  let attempts = 0
  let vanished = 0
  let highest = model.firstSequence - 1
  /** A frame was cut without its delimiter: the next one melts into it. */
  let swallowsNext = false
  const counts = { sentSamples: 0, repeatedSamples: 0, damagedFrames: 0 }

  const linkPath = () => join(folder, place)
  const relink = (change: () => void) => {
    try {
      change()
    } catch (error) {
      log.error({ device: config.name, path: linkPath() }, `cannot link the port: ${messageOf(error)}`)
    }
  }
  const plug = (at: string) => {
    const plugged = openTerminal()
    terminal = plugged
    place = at
    open = false
    relink(() => linkPort(linkPath(), plugged.path))
  }
  const dropWaiting = (cause: string) => {
    for (const { sequence } of waiting) if (sequence !== undefined) lose(sequence, cause)
    waiting = []
    waitingBytes = 0
    firstSent = 0
    swallowsNext = false
  }
  const unplug = () => {
    const unplugged = terminal
    if (!unplugged) return
    relink(() => unlinkPort(linkPath(), unplugged.path))
    unplugged.close()
    terminal = undefined
    open = false
    dropWaiting('unplugged')
  }
  /** Looks every millisecond whether the port was opened: then the device is gone before its reader has settled. */
  const vanishWhenOpened = () => {
    cancelVanish = clock.after(1, () => {
      cancelVanish = undefined
      if (!terminal || !vanishing) return
      if (!terminal.poll().open) return vanishWhenOpened()
      cancelVanish = clock.after(bits(key, 2, ++vanished) % VANISH_MS_MAX, () => {
        cancelVanish = undefined
        unplug()
      })
    })
  }
  const enqueue = (bytes: Uint8Array, sequence?: number) => {
    if (bytes.length === 0) return
    waiting.push(sequence === undefined ? { bytes } : { bytes, sequence })
    waitingBytes += bytes.length
  }
  const lose = (sequence: number, cause: string) => {
    outbox.acknowledge(sequence, sequence)
    lost(sequence, { reason: 'lost_on_line', cause, sent: true })
  }

  const send = (sequence: number, elapsedMs: number, doubled: boolean) => {
    attempts++
    const garbage = faults.garbageAt(elapsedMs, attempts, framing.delimiter)
    if (garbage) enqueue(garbage)
    // Garbage that follows a frame without a delimiter ends it: the sample after it is whole again.
    const swallowed = swallowsNext && !garbage
    swallowsNext = false
    const damage = faults.damageAt(elapsedMs, attempts)
    const sample = model.sample(sequence)
    const random = bits(key, 1, attempts)
    let frame = framing.encode(sample, damage === 'wrong_checksum' ? 1 + (random % 0xffff) : 0)
    if (damage === 'noise') frame = flipBytes(frame, framing.delimiter, random)
    if (damage === 'truncate') {
      const cut = frame.subarray(0, 1 + (random % (frame.length - 6)))
      swallowsNext = (random & 0x10000) !== 0
      frame = swallowsNext ? cut : Buffer.concat([cut, Uint8Array.of(framing.delimiter)])
    }
    const lostOnLine = !serial.acknowledge && (damage !== undefined || swallowed)
    enqueue(frame, serial.acknowledge || lostOnLine ? undefined : sequence)
    if (lostOnLine) lose(sequence, damage ?? 'truncate')
    if (doubled && damage === undefined && !swallowed) {
      enqueue(frame)
      counts.repeatedSamples++
      counts.sentSamples++
    }
    if (sequence > highest) highest = sequence
    else counts.repeatedSamples++
    counts.sentSamples++
    if (damage || swallowed) counts.damagedFrames++
  }

  const flush = () => {
    while (terminal && waiting.length > 0) {
      const parts: Uint8Array[] = []
      let length = 0
      for (let i = 0; i < waiting.length && length < WRITE_BYTES; i++) {
        const { bytes } = waiting[i] as { bytes: Uint8Array }
        parts.push(i === 0 ? bytes.subarray(firstSent) : bytes)
        length += bytes.length
      }
      const bytes = Buffer.concat(parts)
      const written = terminal.write(bytes)
      firstSent += written
      let through = 0
      for (const { bytes, sequence } of waiting) {
        if (firstSent < bytes.length) break
        firstSent -= bytes.length
        waitingBytes -= bytes.length
        through++
        if (sequence !== undefined) outbox.acknowledge(sequence, sequence)
      }
      waiting.splice(0, through)
      if (written < bytes.length) return
    }
  }

  const onOpened = (nowMs: number) => {
    open = true
    readyAtMs = nowMs + SETTLE_AFTER_OPEN_MS
    greetedAtMs = 0
    acknowledgements.reset()
    dropWaiting('not_open')
    if (serial.acknowledge) outbox.sendAgain(nowMs)
  }
  /** Why nothing can be sent now; undefined when it can. */
  const obstacle = (elapsedMs: number, nowMs: number): string | undefined => {
    const state = faults.stateAt(elapsedMs)
    if (state.silent) return 'dropout'
    if (!terminal) return 'unplugged'
    const soon = faults.stateAt(elapsedMs + QUIET_BEFORE_UNPLUG_MS)
    if (!serial.acknowledge && (soon.unplugged || soon.vanishing || state.vanishing)) return 'unplugged'
    if (!open || nowMs < readyAtMs) return 'not_open'
    return waitingBytes >= WAITING_BYTES_MAX ? 'overrun' : undefined
  }

  return {
    async start() {
      openTerminal = await loadPseudoTerminals()
      await mkdir(folder, { recursive: true })
      plug(config.name)
    },
    measured(sequence) {
      const dropped = outbox.push(sequence)
      if (dropped) lost(dropped.sequence, { reason: 'lost_at_device', cause: 'ring_full', sent: dropped.sent })
    },
    tick(elapsedMs) {
      const nowMs = clock.monotonicMs()
      const { unplugged, swappedWith = config.name, doubled, ...state } = faults.stateAt(elapsedMs)
      if (terminal && (unplugged || swappedWith !== place)) unplug()
      else if (!terminal && !unplugged) plug(swappedWith)
      vanishing = state.vanishing
      if (vanishing && !cancelVanish) vanishWhenOpened()
      if (terminal) {
        const polled = terminal.poll()
        if (polled.open && !open) onOpened(nowMs)
        if (!polled.open && open) {
          open = false
          dropWaiting('not_open')
        }
        for (const [first, last] of acknowledgements.push(polled.received))
          if (serial.acknowledge) outbox.acknowledge(first, last)
      }
      const why = obstacle(elapsedMs, nowMs)
      if (why !== undefined) {
        if (!serial.acknowledge) for (const sequence of outbox.take(Infinity, nowMs)) lose(sequence, why)
        if (why !== 'overrun') return
      } else {
        if (serial.acknowledge && nowMs - lookedAtMs >= LOOK_FOR_REPEATS_MS) {
          lookedAtMs = nowMs
          outbox.sendAgain(nowMs - SEND_AGAIN_AFTER_MS)
        }
        if (greetedAtMs === 0 || nowMs - greetedAtMs >= GREETING_EVERY_MS) {
          greetedAtMs = nowMs
          if (!swallowsNext) enqueue(framing.greeting())
        }
        for (let sent = 0; sent < SAMPLES_PER_TICK_MAX && waitingBytes < WAITING_BYTES_MAX; sent++) {
          const [sequence] = outbox.take(1, nowMs)
          if (sequence === undefined) break
          send(sequence, elapsedMs, doubled)
        }
      }
      flush()
    },
    status: () => ({
      link: 'serial',
      address: linkPath(),
      open,
      unacknowledgedSamples: outbox.unacknowledged,
      ...counts,
    }),
    remaining: () => outbox.remaining(),
    async stop() {
      cancelVanish?.()
      unplug()
    },
  }
}
