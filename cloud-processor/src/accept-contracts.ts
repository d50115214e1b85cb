/** Whether a set of contracts can be worked with under this config: asked at start, and of each reload before it is in force. */
import { readFile } from 'node:fs/promises'
import { errorCode, loadConfig, UserError } from '@tributary/runtime'
import { rulesSchemaFor } from './alerts/index.ts'
import { HASH_KEY_CHARACTERS_MIN, HASH_KEY_RULE, type ProcessorConfig } from './config.ts'
import type { ContractSet } from './contract-set.ts'
import { needsHashKey } from './privacy.ts'

/** Also whether the alert rules fit the contracts. @throws UserError, ConfigError */
export async function acceptContracts(
  { contracts }: ContractSet,
  {
    alertsFile,
    receivers,
    hashKey,
  }: { alertsFile: string | undefined; receivers: readonly string[]; hashKey: string | undefined },
): Promise<void> {
  if (hashKey === undefined && needsHashKey(contracts))
    throw new UserError('a contract has fields with `sensitivity: hash`, and there is no key for hashes', {
      hint: 'give sensitive.hash_key or sensitive.hash_key_file in the config of the processor',
    })
  if (alertsFile !== undefined) await loadConfig(alertsFile, rulesSchemaFor(contracts, receivers))
}

/** @param at makes a path of the config whole */
export async function readHashKey(
  { hash_key, hash_key_file }: ProcessorConfig['sensitive'],
  at: (path: string) => string,
): Promise<string | undefined> {
  if (hash_key_file === undefined) return hash_key
  const file = at(hash_key_file)
  const key = await readFile(file, 'utf8').catch((error: unknown) => {
    const hint = 'correct sensitive.hash_key_file in the config'
    throw new UserError(`${file} cannot be read (${errorCode(error)})`, { cause: error, hint })
  })
  if (key.trim().length < HASH_KEY_CHARACTERS_MIN)
    throw new UserError(`${file}: the key ${HASH_KEY_RULE}`, { hint: 'make one with `openssl rand -hex 32`' })
  return key.trim()
}
