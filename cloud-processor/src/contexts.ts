/** What `step` works with, made of a set of contracts: the one that is in force, and the ones that checkpoints were made with. */
import { type Logger, messageOf } from '@tributary/runtime'
import type { StepContext } from './batch-scope.ts'
import type { ContractMemory } from './contract-memory.ts'
import { type ContractSet, contractSetOf } from './contract-set.ts'

export interface ContextSource {
  /** To be worked with from the next message on. */
  readonly current: StepContext
  /** By the contracts of a checkpoint; the present one when it does not say by which. */
  asOf(memory: ContractMemory | undefined): StepContext
}

/** Sets in memory: that of before a reload is wanted by partitions that have not changed yet. */
const KEPT_MAX = 4

export function createContextSource(
  currentSet: () => ContractSet,
  contextOf: (set: ContractSet) => StepContext,
  log: Logger,
): ContextSource {
  const kept = new Map<string, StepContext>()
  const contextFor = (version: string, set: () => ContractSet): StepContext => {
    let context = kept.get(version)
    if (context === undefined) {
      context = contextOf(set())
      kept.set(version, context)
      if (kept.size > KEPT_MAX) kept.delete(kept.keys().next().value as string)
    }
    return context
  }
  let present: StepContext | undefined
  const current = () => {
    const set = currentSet()
    if (present?.contractsVersion !== set.version) present = contextFor(set.version, () => set)
    return present
  }
  return {
    get current() {
      return current()
    },
    asOf(memory) {
      if (memory === undefined || memory.version === '') return current()
      try {
        return contextFor(memory.version, () => contractSetOf(memory.source))
      } catch (error) {
        log.warn(
          { version: memory.version, reason: messageOf(error) },
          'the contracts that the checkpoint was made with cannot be used any more; what comes again is judged by the present ones',
        )
        return current()
      }
    },
  }
}
