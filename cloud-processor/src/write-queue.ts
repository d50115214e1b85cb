/**
 * Messages are stepped while what the ones before them asked for is being written: two sets of effects take turns.
 *
 * Guarantee: sets are written whole and in the order of their launches, one after the other; so no point is overtaken by what it was
 * before. Bounded: one set is being written, one waits behind it, and there is no third to step into before the first is written.
 */
import type { EffectWriter } from './effect-writer.ts'
import { clearEffects, createEffects, type Effects } from './effects.ts'
import type { PartitionState } from './state.ts'

/** Messages are collected for so many times as long as a write takes: a database that is slow gets fewer and larger ones. */
const LINGER_WRITES = 4
const LINGER_MS_MIN = 10

export const lingerMsFor = (lastWriteMs: number, lingerMsMax: number): number =>
  Math.min(lingerMsMax, Math.max(LINGER_MS_MIN, LINGER_WRITES * lastWriteMs))

export interface WriteQueue {
  /** What steps append to, between `room` and `launch`. */
  readonly effects: Effects
  /** Everything that was launched is written: the state knows nothing that is not stored, but for steps since. */
  readonly isIdle: boolean
  /** Resolves when there is an empty set to step into. Rejects, as `settled` does, with what a write before failed with. */
  room(): Promise<void>
  /** Has the effects written behind those before. @param state learns what the store refuses */
  launch(state: PartitionState, signal: AbortSignal): void
  /** Resolves when everything that was launched is written. */
  settled(): Promise<void>
  /** Empties the set that is stepped into. */
  discard(): void
}

interface Slot {
  readonly effects: Effects
  written: Promise<void>
}

export function createWriteQueue(writer: EffectWriter): WriteQueue {
  const createSlot = (): Slot => ({ effects: createEffects(), written: Promise.resolve() })
  let current = createSlot()
  let other = createSlot()
  let underWay = 0

  async function write({ effects }: Slot, before: Promise<void>, state: PartitionState, signal: AbortSignal) {
    await before
    await writer.write(effects, state, signal)
    clearEffects(effects)
    underWay -= 1
  }

  return {
    get effects() {
      return current.effects
    },
    get isIdle() {
      return underWay === 0
    },
    room: () => current.written,
    launch(state, signal) {
      const slot = current
      underWay += 1
      slot.written = write(slot, other.written, state, signal)
      // Told to whoever waits next.
      slot.written.catch(() => undefined)
      current = other
      other = slot
    },
    async settled() {
      await current.written
      await other.written
    },
    discard: () => clearEffects(current.effects),
  }
}
