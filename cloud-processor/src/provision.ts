/**
 * What `tributary init` does: everything that the processor needs in InfluxDB and NATS is made when it is missing. What is there
 * is never changed: a difference is said, with what would change it. Doing it again does nothing.
 */
import type { ProcessorConfig } from './config.ts'
import type { NoteProvision, Provision } from './make-missing.ts'
import { provisionInflux } from './provision-influx.ts'
import { provisionNats } from './provision-nats.ts'

export { makeMissing, type Provision, type ProvisionOutcome } from './make-missing.ts'

export interface ProvisionOptions {
  readonly dryRun: boolean
  readonly signal: AbortSignal
  /** Called as each is done. */
  readonly onDone?: NoteProvision
}

/** @throws UserError when a server does not answer or does not allow it; what was made before stays */
export async function provision(config: ProcessorConfig, options: ProvisionOptions): Promise<Provision[]> {
  const done: Provision[] = []
  const note = (one: Provision) => {
    done.push(one)
    options.onDone?.(one)
  }
  await provisionInflux(config.influx, options, note)
  await provisionNats(config, options, note)
  return done
}
