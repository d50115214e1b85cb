/** What a partition remembers of its contracts. */
import type { SchemaDrift } from './shape.ts'

export interface ContractMemory {
  /** Of the contracts that the last batches were judged by; '' before the first. */
  version: string
  /** They themselves, as `contractSetOf` reads them: what was decided by them is decided so again after a crash. */
  source: string
  /** Nothing was decided beyond this state: it was saved as the processor stopped. */
  settled: boolean
  /** Reason → readings (of `too_soon` and `too_late` samples) that were stored and marked. */
  readonly flagged: Record<string, number>
  /** The last hundred. */
  readonly drifts: SchemaDrift[]
  driftCount: number
  /** Blocks with unknown fields beyond those remembered of a device. */
  fieldsBeyond: number
}

export const createContractMemory = (): ContractMemory => ({
  version: '',
  source: '',
  settled: false,
  flagged: {},
  drifts: [],
  driftCount: 0,
  fieldsBeyond: 0,
})
