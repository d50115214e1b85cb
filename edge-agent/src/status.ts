/** What `/status` answers; the shape is a promise to `tributary status`. */
import type { AgentState } from './agent-state.ts'
import type { ClockStatus } from './clock-sync.ts'
import type { InputStatus } from './inputs/input.ts'

export interface AgentStatus {
  readonly agent: string
  readonly epoch: string
  readonly version: string
  readonly uptimeSeconds: number
  readonly state: AgentState
  /** To the gateway; `uplink` says why not. */
  readonly connected: boolean
  readonly uplink: string
  readonly nextSequence: number
  readonly sentThrough: number
  readonly backlogBatches: number
  readonly backlogBytes: number
  readonly drainSeconds: number
  /** Batches that may be in flight in each lane, and how many are in both. */
  readonly window: { readonly live: number; readonly backlog: number; readonly inFlight: number }
  readonly retain: 'acknowledged' | 'stored'
  /** Everything up to here is in the store; null while no gateway has said so. */
  readonly storedThrough: number | null
  /** Of the gateway's spool: another one means that the gateway lost its disk. */
  readonly gatewayEpoch: string | null
  /** Sent again since the process started; and asked for, but not in the spool any more. */
  readonly resentBatches: number
  readonly goneBatches: number
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
