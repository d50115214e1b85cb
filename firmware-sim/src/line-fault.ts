/** What goes wrong on a device's link, and when: decided by the schedule and by a hash, sample by sample. */
import { bits, keyOf, uniform } from './noise.ts'
import { type FaultConfig, SWAP_UNPLUGGED_MS } from './scenario.ts'
import { occurrenceAt } from './schedule.ts'

export type DamageKind = 'noise' | 'truncate' | 'wrong_checksum'

export interface LineState {
  readonly silent: boolean
  readonly unplugged: boolean
  /** The device whose place it is plugged in at. */
  readonly swappedWith: string | undefined
  /** Gone again within milliseconds of being opened. */
  readonly vanishing: boolean
  /** Everything is sent twice. */
  readonly doubled: boolean
}

export interface LineFaults {
  /** A fault besides those of the scenario; its `at` counts from the start of the run. */
  add(fault: FaultConfig): void
  /** Plugged in again, each at its own place: added unplugs and swaps of the named devices end now. */
  replug(elapsedMs: number, devices: readonly string[]): void
  stateAt(elapsedMs: number): LineState
  /** What happens to one frame; `attempt` counts the sendings of the device. */
  damageAt(elapsedMs: number, attempt: number): DamageKind | undefined
  /** Bytes that no device meant to send, delimiter included; undefined most of the time. */
  garbageAt(elapsedMs: number, attempt: number, delimiter: number): Uint8Array | undefined
  /** Faults that are under way, for the ledger. */
  activeAt(elapsedMs: number): {
    readonly entry: number
    readonly occurrence: number
    readonly kind: FaultConfig['kind']
    readonly fromMs: number
    readonly untilMs: number
  }[]
}

const QUIET: LineState = {
  silent: false,
  unplugged: false,
  swappedWith: undefined,
  vanishing: false,
  doubled: false,
}
const GARBAGE_BYTES_MAX = 60
/** Added faults that are remembered; beyond it the first is forgotten. */
const ADDED_MAX = 1_000

export function createLineFaults(faults: readonly FaultConfig[], device: string, seed: number): LineFaults {
  const isOwn = (fault: FaultConfig) => fault.device === device || (fault.kind === 'swap' && fault.with === device)
  const own = faults.flatMap((fault, index) => (isOwn(fault) ? [{ fault, index }] : []))
  const ofScenario = own.length
  const key = keyOf(`${device} line`, seed)
  let nextIndex = faults.length
  const at = (fault: FaultConfig, elapsedMs: number) =>
    occurrenceAt(
      { atMs: fault.at, forMs: fault.for + (fault.kind === 'swap' ? SWAP_UNPLUGGED_MS : 0), everyMs: fault.every },
      elapsedMs,
      elapsedMs,
    )
  return {
    add(fault) {
      if (!isOwn(fault)) return
      own.push({ fault, index: nextIndex++ })
      if (own.length > ofScenario + ADDED_MAX) own.splice(ofScenario, 1)
    },
    replug(elapsedMs, devices) {
      for (const entry of own.slice(ofScenario)) {
        const { fault } = entry
        const names = fault.kind === 'swap' ? [fault.device, fault.with] : fault.kind === 'unplug' ? [fault.device] : []
        if (fault.at + fault.for <= elapsedMs || !names.some((name) => devices.includes(name))) continue
        entry.fault = { ...fault, for: Math.max(0.001, elapsedMs - fault.at) }
      }
    },
    stateAt(elapsedMs) {
      if (own.length === 0) return QUIET
      const state = { ...QUIET }
      for (const { fault } of own) {
        const found = at(fault, elapsedMs)
        if (!found) continue
        if (fault.kind === 'dropout') state.silent = true
        if (fault.kind === 'unplug') state.unplugged = true
        if (fault.kind === 'vanish') state.vanishing = true
        if (fault.kind === 'duplicate') state.doubled = true
        if (fault.kind !== 'swap') continue
        const sinceMs = elapsedMs - found.fromMs
        if (sinceMs < SWAP_UNPLUGGED_MS || sinceMs >= fault.for) state.unplugged = true
        else state.swappedWith = fault.device === device ? fault.with : fault.device
      }
      return state
    },
    damageAt(elapsedMs, attempt) {
      for (const { fault, index } of own) {
        if (fault.kind !== 'noise' && fault.kind !== 'truncate' && fault.kind !== 'wrong_checksum') continue
        if (uniform(key, index, attempt) < fault.share && at(fault, elapsedMs)) return fault.kind
      }
      return undefined
    },
    garbageAt(elapsedMs, attempt, delimiter) {
      for (const { fault, index } of own) {
        if (fault.kind !== 'garbage' || uniform(key, index, attempt) >= fault.share || !at(fault, elapsedMs)) continue
        const length = 1 + (bits(key, 1_000 + index, attempt) % GARBAGE_BYTES_MAX)
        // From 0x80 to 0xFE: neither text nor a delimiter nor a comment, whatever the framing.
        const bytes = Uint8Array.from({ length }, (_, i) => 0x80 + (bits(key, 2_000 + i, attempt) % 0x7f))
        return Buffer.concat([bytes, Uint8Array.of(delimiter)])
      }
      return undefined
    },
    activeAt: (elapsedMs) =>
      own.flatMap(({ fault, index }) => {
        const found = at(fault, elapsedMs)
        if (!found) return []
        const { index: occurrence, fromMs, untilMs } = found
        return [{ entry: index, occurrence, kind: fault.kind, fromMs, untilMs }]
      }),
  }
}

/** Flips one bit pattern over two neighbouring bytes in the middle of a frame, never making a delimiter. A CRC-16 sees every such burst. */
export function flipBytes(frame: Uint8Array, delimiter: number, random: number): Uint8Array {
  const damaged = Uint8Array.from(frame)
  const body = Math.max(1, frame.length - 6)
  for (const [i, pattern] of [(random & 0xff) | 1, (random >>> 8) & 0xff].entries()) {
    const at = ((random >>> 16) % body) + i
    const flipped = (damaged[at] ?? 0) ^ pattern
    if (at < body && flipped !== delimiter && flipped !== 0x23) damaged[at] = flipped
  }
  if (Buffer.compare(damaged, frame) === 0) damaged[0] = (frame[0] as number) ^ (frame[0] === 0x40 ? 0x20 : 0x40)
  return damaged
}
