import type { Service } from '@tributary/runtime'
import type { BatchWriter } from '../batch-writer.ts'
import type { Delivery } from '../sample.ts'

/** What `/status` says of an input. */
export interface InputStatus {
  readonly name: string
  readonly type: 'serial' | 'mqtt' | 'host'
  /** `starting`: it is being opened, for the first time or again. `down`: that failed, and is tried again. `held`: there is no room in the spool. */
  readonly state: 'starting' | 'open' | 'held' | 'down' | 'stopped'
  readonly samples: number
  readonly readings: number
  readonly deadLetters: number
  readonly lastSampleAtMs: number | null
  /** A sentence for a person: what it is connected to, or why it is not. */
  readonly detail: string
}

/** Where samples come from. `stop` reads no more, waits until what was read is on disk and acknowledged, and lets go. */
export interface Input extends Service {
  status(): InputStatus
  /** Since when it may hold samples that were not read yet, wall clock; undefined when it holds none that are old. */
  pendingSinceMs(): number | undefined
}

/** Counts what one input brings, and hands it to the writer. */
export interface Intake {
  readonly samples: number
  readonly readings: number
  readonly deadLetters: number
  readonly lastSampleAtMs: number | null
  /** @returns false when there is no room; see `BatchWriter.accept` */
  accept(delivery: Delivery, onStored?: () => void): boolean
  shed(delivery: Delivery): void
}

/** @param onRefusal called for each refusal: counts by reason */
export function createIntake(input: string, writer: BatchWriter, onRefusal: (reason: string) => void): Intake {
  let samples = 0
  let readings = 0
  let deadLetters = 0
  let lastSampleAtMs: number | null = null
  return {
    get samples() {
      return samples
    },
    get readings() {
      return readings
    },
    get deadLetters() {
      return deadLetters
    },
    get lastSampleAtMs() {
      return lastSampleAtMs
    },
    accept(delivery, onStored) {
      const accepted = writer.accept(input, delivery, onStored)
      if (!accepted) return false
      samples += accepted.newSamples
      readings += accepted.newReadings
      deadLetters += delivery.refusals.length
      if (delivery.samples.length > 0) lastSampleAtMs = delivery.receivedAtMs
      for (const { reason } of delivery.refusals) onRefusal(reason)
      return true
    },
    shed: (delivery) => writer.shed(input, delivery),
  }
}
