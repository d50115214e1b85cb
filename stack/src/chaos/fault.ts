/** What every fault is: a kind with variants, brought about and ended by one call. */
import type { ManagedProcess } from '../managed-process.ts'
import type { Random } from './random.ts'
import type { Abilities, Rig } from './rig.ts'

export interface FaultContext {
  readonly random: Random
  /** Told what is done now, a few words each. */
  readonly say: (text: string) => void
  readonly signal: AbortSignal
  readonly sleep: (delayMs: number) => Promise<void>
}

export interface Fault {
  readonly kind: string
  /** One line for people: what happens to what. */
  readonly says: string
  /** Dealt one after another, so that each has its turn. */
  readonly variants: readonly string[]
  /** The gateway runs the site view beside itself. */
  readonly needsSiteView?: true
  /** Why it cannot be brought about on this machine; undefined when it can. */
  obstacle?(abilities: Abilities): string | undefined
  /** What it does here instead of the real thing, when it has to make do. */
  substitute?(abilities: Abilities): string | undefined
  /** Resolves when the fault is over and everything that it stopped was started again; not when the pipeline has recovered. */
  run(rig: Rig, variant: string, context: FaultContext): Promise<void>
}

/** Long enough for a first start on a slow machine. */
const START_MS_MAX = 60_000

export const startAgain = (process: ManagedProcess, signal: AbortSignal): Promise<void> =>
  process.start(AbortSignal.any([signal, AbortSignal.timeout(START_MS_MAX)]))

export function processOf({ pipeline }: Rig, name: string): ManagedProcess {
  const found = pipeline.processes.find((process) => process.name === name)
  if (!found) throw new Error(`there is no process ${name}`)
  return found
}
