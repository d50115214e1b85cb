/** One thing that the processor needs in a server: made when it is missing, never changed when it is there. */
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

export type NoteProvision = (one: Provision) => void

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
