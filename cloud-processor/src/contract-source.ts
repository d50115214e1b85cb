/**
 * The folder of contracts, and the file of alert rules, while the processor runs: read again when something changed and has been still
 * for a moment, and at once on demand.
 *
 * Guarantee: `current` is always a set that was read whole and was accepted. What has a mistake is refused whole, said once, and what
 * was read before stays.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, every, type Logger, messageOf } from '@tributary/runtime'
import { type ContractSet, readContractSet } from './contract-set.ts'

export interface ContractSourceOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Throws when a set cannot be worked with (rules that name what is no longer there, a key that is missing). */
  readonly accept: (set: ContractSet) => void | Promise<void>
  /** Alert rules; undefined: there are none. */
  readonly alertsFile?: string | undefined
  readonly checkEveryMs?: number
}

export interface ContractSource {
  /** What is to be worked with from the next message on. Load before. */
  readonly current: ContractSet
  /** Since the process started. */
  readonly reloads: number
  readonly refusals: number
  /** Why the folder, as it is now, is not worked with; undefined: it is. */
  readonly fault: string | undefined
  /** Reads and accepts for the first time; throws what is wrong. */
  load(): Promise<void>
  /** Reads again, changed or not, without waiting for stillness. */
  reload(): Promise<void>
  /** Looks for changes until the signal aborts. A change is taken when two looks, `checkEveryMs` apart, find the same. */
  watch(signal: AbortSignal): Promise<void>
}

export function createContractSource(
  folder: string,
  { clock, log, accept, alertsFile, checkEveryMs = 1_000 }: ContractSourceOptions,
): ContractSource {
  let current: ContractSet | undefined
  let seen = ''
  let before = ''
  let reloads = 0
  let refusals = 0
  let fault: string | undefined

  const load = async () => {
    const look = await looksOf(folder, alertsFile)
    const set = await readContractSet(folder, alertsFile)
    await accept(set)
    current = set
    seen = look
    before = look
  }
  let reloading = Promise.resolve()
  /** One after another: what was read first must not be in force last. */
  const reload = () => {
    reloading = reloading.then(reloadNow)
    return reloading
  }
  const reloadNow = async () => {
    seen = await looksOf(folder, alertsFile)
    const old = current
    try {
      const set = await readContractSet(folder, alertsFile)
      const isNew = set.version !== old?.version
      if (isNew) await accept(set)
      fault = undefined
      if (!isNew) return
      current = set
      reloads += 1
      log.info(
        {
          folder,
          version: set.version,
          before: old?.version,
          kinds: set.contracts.size,
          rules: set.rules.rules.length,
        },
        'contracts and alert rules read again',
      )
    } catch (error) {
      refusals += 1
      fault = messageOf(error)
      log.error(
        {
          folder,
          version: old?.version,
          hint: 'correct the contracts and alert rules (`tributary check` names every mistake); until then those read before stay in force',
        },
        fault,
      )
    }
  }
  return {
    get current() {
      if (current === undefined) throw new Error('the contracts are not loaded yet')
      return current
    },
    get reloads() {
      return reloads
    },
    get refusals() {
      return refusals
    },
    get fault() {
      return fault
    },
    load,
    reload,
    async watch(signal) {
      const look = async () => {
        const now = await looksOf(folder, alertsFile)
        const isStill = now === before
        before = now
        if (isStill && now !== seen) await reload()
      }
      await every(checkEveryMs, look, { clock, signal })
    },
  }
}

/** What changes when a file does: the names, sizes, times and numbers of all files that may be contracts. */
async function looksOf(folder: string, alertsFile: string | undefined): Promise<string> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => /\.ya?ml$/.test(name)).sort()
  const files = [...names.map((name) => join(folder, name)), ...(alertsFile === undefined ? [] : [alertsFile])]
  const looks = await Promise.all(
    files.map(async (file) => {
      const found = await stat(file).catch(() => undefined)
      return found === undefined ? `${file} gone` : `${file} ${found.mtimeMs} ${found.size} ${found.ino}`
    }),
  )
  return looks.join('\n')
}
