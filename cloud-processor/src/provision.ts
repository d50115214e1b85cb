/**
 * What `tributary init` does: everything that the processor needs in InfluxDB and NATS is made when it is missing. What is there
 * is never changed: a difference is said, with what would change it. Doing it again does nothing.
 */
import type { ProcessorConfig } from './config.ts'
import { provisionInflux } from './provision-influx.ts'
import { provisionNats } from './provision-nats.ts'

export type ProvisionOutcome = 'exists' | 'created' | 'would create' | 'differs'

export interface Provision {
  readonly place: 'influxdb' | 'nats'
  /** Such as `database`, `retention policy`, `stream`. */
  readonly what: string
  readonly name: string
  readonly outcome: ProvisionOutcome
  /** Of what differs: how, and what a person may do. */
  readonly detail: string
}

export interface ProvisionOptions {
  readonly dryRun: boolean
  readonly signal: AbortSignal
  /** Called as each is done. */
  readonly onDone?: (one: Provision) => void
}

/**
 * @param configPath paths in the config are relative to its folder
 * @throws UserError when a server does not answer or does not allow it; what was made before stays
 */
export async function provision(
  configPath: string,
  config: ProcessorConfig,
  options: ProvisionOptions,
): Promise<Provision[]> {
  const done: Provision[] = []
  const note = (one: Provision) => {
    done.push(one)
    options.onDone?.(one)
  }
  await provisionInflux(config.influx, options, note)
  await provisionNats(configPath, config, options, note)
  return done
}

/** Makes what is missing, or says that it would. */
export async function makeMissing(
  one: Pick<Provision, 'place' | 'what' | 'name'>,
  {
    exists,
    difference = '',
    make,
    dryRun,
  }: { exists: boolean; difference?: string | undefined; make: () => Promise<void>; dryRun: boolean },
): Promise<Provision> {
  if (exists) return { ...one, outcome: difference === '' ? 'exists' : 'differs', detail: difference }
  if (!dryRun) await make()
  return { ...one, outcome: dryRun ? 'would create' : 'created', detail: '' }
}
