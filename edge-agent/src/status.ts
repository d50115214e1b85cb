/** What `/status` answers; the shape is a promise to `tributary status`. */
import type { ClockStatus } from './clock-sync.ts'
import type { InputStatus } from './inputs/input.ts'

export interface AgentStatus {
  readonly agent: string
  readonly epoch: string
  readonly version: string
  readonly uptimeSeconds: number
  /** To the gateway; `uplink` says why not. */
  readonly connected: boolean
  readonly uplink: string
  readonly nextSequence: number
  readonly sentThrough: number
  readonly backlogBatches: number
  readonly backlogBytes: number
  readonly drainSeconds: number
  /** Readings of this epoch that are on disk, dead-lettered ones among them. */
  readonly producedReadings: number
  /** These four count since the process started. */
  readonly deadLetteredReadings: number
  readonly deadLetters: number
  readonly repeatedSamples: number
  readonly shedReadings: number
  readonly spoolBytesUsed: number
  /** Why nothing can be written at present. */
  readonly spoolProblem: string | null
  readonly clock: ClockStatus
  readonly inputs: readonly InputStatus[]
}
