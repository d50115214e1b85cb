import type { Batch, Contracts } from '@tributary/protocol'
import type { AlertEngine } from './alerts/index.ts'
import { type LetterOrigin, originOf } from './dead-letter.ts'
import type { Effects } from './effects.ts'
import type { FindDevice } from './enrich.ts'
import type { OutboxLimits } from './notifiers/index.ts'
import type { DeviceSeries } from './series.ts'
import type { AgentState, EpochState, PartitionState } from './state.ts'
import type { WindowRow } from './window.ts'

export interface StepContext {
  readonly contracts: Contracts
  readonly findDevice: FindDevice
  readonly engine: AlertEngine
  /** Names of all notifiers. */
  readonly receivers: readonly string[]
  readonly outboxLimits: OutboxLimits
  /** How long closed windows stay in memory: of a device that delivered late within the last hour, and of others. */
  readonly memoryMs: number
  readonly punctualMemoryMs: number
  /** A gap that is open for so long counts as missing. */
  readonly missingAfterMs: number
}

/** What the parts of `step` share while one batch is worked on. */
export class BatchScope {
  readonly state: PartitionState
  readonly agent: AgentState
  readonly batch: Batch
  readonly site: string
  readonly receivedAtMs: number
  readonly context: StepContext
  readonly effects: Effects
  readonly origin: LetterOrigin
  readonly live: boolean
  epoch: EpochState | undefined
  /** The store may know more of the agent than the state does: no window is written. */
  inDoubt = false
  originIndex = -1
  contractLetterCount = 0
  readonly touched: { series: DeviceSeries; width: number; row: WindowRow }[] = []

  constructor(
    state: PartitionState,
    agent: AgentState,
    batch: Batch,
    site: string,
    receivedAtMs: number,
    context: StepContext,
    effects: Effects,
  ) {
    this.state = state
    this.agent = agent
    this.batch = batch
    this.site = site
    this.receivedAtMs = receivedAtMs
    this.context = context
    this.effects = effects
    this.origin = originOf(batch.header, site, receivedAtMs)
    this.live = batch.header.lane === 'live'
  }
}
