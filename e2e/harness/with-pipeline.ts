/** A pipeline of real processes for one test: its own folder, its own ports, gone afterwards. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Account,
  createPipeline,
  type Pipeline,
  type PipelineOptions,
  repositoryFolder,
  settle,
  takeAccount,
} from '@tributary/stack'
import { expect } from 'vitest'

const SETTLE_MS_MAX = 90_000

export const scenario = (name: string): string => join(repositoryFolder, 'firmware-sim', 'scenarios', `${name}.yaml`)

/**
 * Starts, works, stops; keeps the folder with all logs when the work throws, and says where.
 * @param prepare what is done before anything starts
 */
export async function withPipeline<T>(
  options: Partial<PipelineOptions>,
  work: (pipeline: Pipeline, folder: string) => Promise<T>,
  prepare?: (pipeline: Pipeline, folder: string) => Promise<unknown>,
): Promise<T> {
  const dataFolder = await mkdtemp(join(tmpdir(), 'tributary-e2e-'))
  const pipeline = await createPipeline({ dataFolder, scenarioFile: scenario('steady'), seed: 1, ...options })
  let failed = true
  try {
    await prepare?.(pipeline, dataFolder)
    await pipeline.start(AbortSignal.timeout(60_000))
    const result = await work(pipeline, dataFolder)
    failed = false
    return result
  } finally {
    await pipeline.stop()
    if (failed) console.error(`seed ${options.seed ?? 1}; logs and data are kept in ${dataFolder}`)
    else await rm(dataFolder, { recursive: true, force: true })
  }
}

/** Lets the devices finish, and asserts the invariants that hold after every fault: conservation, integrity, no duplicates, liveness. */
export async function expectBalanced(pipeline: Pipeline): Promise<Account> {
  const signal = AbortSignal.timeout(SETTLE_MS_MAX + 60_000)
  const settled = await settle(pipeline, { timeoutMs: SETTLE_MS_MAX, signal })
  const account = await takeAccount(pipeline, signal)
  expect({ settled, examples: account.examples, ...account.ledger }, 'the account').toMatchObject({
    settled: true,
    missing: 0,
    duplicates: 0,
    wrong: 0,
    inFlight: 0,
  })
  expect(account.ledger.produced).toBe(
    account.ledger.stored + account.ledger.deadLettered + account.ledger.shed + account.ledger.lostAtDevice,
  )
  return account
}
