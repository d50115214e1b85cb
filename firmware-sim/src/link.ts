/** What a device is connected by: siblings of one shape, driven by the simulator's tick. */
import type { Clock, Logger } from '@tributary/runtime'
import type { DeviceModel } from './device-model.ts'
import type { Loss } from './ledger.ts'
import type { LineFaults } from './line-fault.ts'

export interface Link {
  start(): Promise<void>
  /** A sample was measured, and is in the ledger. */
  measured(sequence: number): void
  /** Reads, sends, sends again. Never waits. */
  tick(elapsedMs: number): void
  status(): LinkStatus
  /** Samples still kept, oldest first. */
  remaining(): { sequence: number; sent: boolean }[]
  stop(): Promise<void>
}

export interface LinkStatus {
  readonly link: 'serial' | 'mqtt'
  /** Path of the pseudo-terminal or the topic. */
  readonly address: string
  /** Somebody has the port open; the client is connected. */
  readonly open: boolean
  /** Kept by the device until they are acknowledged. */
  readonly unacknowledgedSamples: number
  readonly sentSamples: number
  readonly repeatedSamples: number
  readonly damagedFrames: number
}

export interface LinkDependencies {
  readonly model: DeviceModel
  readonly faults: LineFaults
  readonly clock: Clock
  readonly log: Logger
  readonly lost: (sequence: number, loss: Loss) => void
}
