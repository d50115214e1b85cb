/**
 * The contracts of a folder and the alert rules, as one thing with a version: what says the same has the same, whatever the comments and
 * the order. Both decide what becomes of readings, so a replay must find those of then.
 */
import { createHash } from 'node:crypto'
import { type Contracts, ContractsError, contractSchema, readContractSources } from '@tributary/protocol'
import { loadConfig, UserError } from '@tributary/runtime'
import { z } from 'zod'
import { NO_RULES, type RulesFile, rulesSchema } from './alerts/index.ts'

export interface ContractSet {
  readonly contracts: Contracts
  readonly rules: RulesFile
  /** Twelve hexadecimal digits. */
  readonly version: string
  /** JSON from which `contractSetOf` makes the same set again. */
  readonly source: string
}

/** Kinds sorted by name, each as its file says it. @throws Error when one is no contract */
export function contractSetOf(source: string): ContractSet {
  // Without rules it is the list of contracts alone.
  const read = JSON.parse(source) as unknown[] | { contracts: unknown[]; alerts: unknown }
  const [values, rules] = Array.isArray(read) ? [read, NO_RULES] : [read.contracts, rulesSchema.parse(read.alerts)]
  const contracts = values.map((value) => contractSchema.parse(value))
  return {
    contracts: new Map(contracts.map((contract) => [contract.kind, contract])),
    rules,
    version: createHash('sha256').update(source, 'utf8').digest('hex').slice(0, 12),
    source,
  }
}

/** They stand in every checkpoint. */
const SOURCE_CHARACTERS_MAX = 1024 * 1024

/** @param alertsFile the rules; undefined: there are none. @throws UserError that lists every mistake in every file */
export async function readContractSet(folder: string, alertsFile?: string): Promise<ContractSet> {
  const sources = await readContractSources(folder).catch((error: unknown) => {
    if (!(error instanceof ContractsError)) throw error
    throw new UserError(error.message, { cause: error, hint: error.hint })
  })
  const byKind = [...sources].sort(([a], [b]) => (a < b ? -1 : 1))
  const contracts = byKind.map(([, value]) => sorted(value))
  const alerts = alertsFile === undefined ? undefined : sorted(await readRules(alertsFile))
  const source = JSON.stringify(alerts === undefined ? contracts : { contracts, alerts })
  if (source.length > SOURCE_CHARACTERS_MAX)
    throw new UserError(
      `the contracts in ${folder}, and the alert rules, have ${source.length} characters; ${SOURCE_CHARACTERS_MAX} are allowed`,
      {
        hint: 'a contract says what samples look like: lists of thousands of values belong elsewhere',
      },
    )
  return contractSetOf(source)
}

/** As it is written, with what the environment gives. */
async function readRules(file: string): Promise<unknown> {
  await loadConfig(file, rulesSchema)
  return loadConfig(file, z.unknown())
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
