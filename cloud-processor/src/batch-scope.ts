import type { Batch, BatchHeader, Contracts } from '@tributary/protocol'
import type { AlertEngine, AlertTransition, Desk } from './alerts/index.ts'
import type { QualityFinding } from './data-quality.ts'
import { type LetterOrigin, originOf } from './dead-letter.ts'
import type { DeviceRecord } from './device-record.ts'
import type { DeviceLookup } from './device-registry.ts'
import type { Effects } from './effects.ts'
import type { Privacy } from './privacy.ts'
import type { DeviceSeries } from './series.ts'
import type { AgentState, EpochState, PartitionState } from './state.ts'
import type { FindViolationLimit } from './violation-watch.ts'
import type { WindowRow } from './window.ts'

export interface StepContext {
  readonly contracts: Contracts
  readonly registry: DeviceLookup
  /** Of these contracts, and what they can be made of again: see `ContractSet`. */
  readonly contractsVersion: string
  readonly contractsSource: string
  /** What of a value may be stored and shown. */
  readonly privacy: Privacy
  readonly engine: AlertEngine
  readonly desk: Desk
  readonly violationLimit: FindViolationLimit
  /** How long closed windows stay in memory: of a device that delivered late within the last hour, and of others. */
  readonly memoryMs: number
  readonly punctualMemoryMs: number
  /** A gap that is open for so long counts as missing. */
  readonly missingAfterMs: number
}

/** What the parts of `step` need to know of a batch. */
export type ScopeBatch = Pick<Batch, 'blocks'> & {
  readonly header: Pick<BatchHeader, 'agent' | 'epoch' | 'sequence' | 'lane'>
}

/** What the parts of `step` share while one batch is worked on. */
export class BatchScope {
  readonly state: PartitionState
  readonly agent: AgentState
  readonly batch: ScopeBatch
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
  /** Of alerts, as they are found. */
  readonly transitions: AlertTransition[] = []
  /** What is wrong with its samples. */
  readonly quality: QualityFinding[] = []
  /** Whose samples are in the batch. */
  readonly heard: DeviceSeries[] = []
  readonly touched: { series: DeviceSeries; width: number; row: WindowRow }[] = []
  /** Whose windows closed, up to when. */
  readonly closed: { series: DeviceSeries; watermarkMs: number }[] = []

  constructor(
    state: PartitionState,
    agent: AgentState,
    batch: ScopeBatch,
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

  /** As the partition's version of the registry has it. */
  findDevice(device: string): DeviceRecord | undefined {
    return this.context.registry.find(device, this.state.registryVersion)
  }
}
