/** The contracts of a folder as one thing with a version: the same contracts have the same, whatever their comments and their order. */
import { createHash } from 'node:crypto'
import { type Contracts, ContractsError, contractSchema, readContractSources } from '@tributary/protocol'
import { UserError } from '@tributary/runtime'

export interface ContractSet {
  readonly contracts: Contracts
  /** Twelve hexadecimal digits. */
  readonly version: string
  /** JSON from which `contractSetOf` makes the same set again. */
  readonly source: string
}

/** Kinds sorted by name, each as its file says it. @throws Error when one is no contract */
export function contractSetOf(source: string): ContractSet {
  const values = JSON.parse(source) as unknown[]
  const contracts = values.map((value) => contractSchema.parse(value))
  return {
    contracts: new Map(contracts.map((contract) => [contract.kind, contract])),
    version: createHash('sha256').update(source, 'utf8').digest('hex').slice(0, 12),
    source,
  }
}

/** They stand in every checkpoint. */
const SOURCE_CHARACTERS_MAX = 1024 * 1024

/** @throws UserError that lists every mistake in every file */
export async function readContractSet(folder: string): Promise<ContractSet> {
  const sources = await readContractSources(folder).catch((error: unknown) => {
    if (!(error instanceof ContractsError)) throw error
    throw new UserError(error.message, { cause: error, hint: error.hint })
  })
  const byKind = [...sources].sort(([a], [b]) => (a < b ? -1 : 1))
  const source = JSON.stringify(byKind.map(([, value]) => sorted(value)))
  if (source.length > SOURCE_CHARACTERS_MAX)
    throw new UserError(
      `the contracts in ${folder} have ${source.length} characters; ${SOURCE_CHARACTERS_MAX} are allowed`,
      {
        hint: 'a contract says what samples look like: lists of thousands of values belong elsewhere',
      },
    )
  return contractSetOf(source)
}

/** With the keys of all objects in order: what is written in another order is the same. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, sorted(one)]),
  )
}
