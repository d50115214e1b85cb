/** `tributary check`: every mistake in every config file at once. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Contracts } from '@tributary/protocol'
import { ConfigError, type ConfigMistake, errorCode, loadConfig, messageOf } from '@tributary/runtime'
import { Command } from 'commander'
import { parse } from 'yaml'
import type { z } from 'zod'
import { print, printJson } from '../print.ts'

interface Checked {
  readonly file: string
  readonly kind: string
  readonly mistakes: readonly ConfigMistake[]
  /** What could not be looked at, and why. */
  readonly note?: string
}

const RULES = 'alert rules'
/** Each of them is at the top of such a file alone; none has to be there. */
const RULES_KEYS = ['rules', 'inhibit', 'group', 'violations', 'unreachable']

/** What a file is, told by keys that only it has. */
const KINDS: readonly { keys: readonly string[]; kind: string; schema: () => Promise<z.ZodType> }[] = [
  { keys: ['agent'], kind: 'agent', schema: async () => (await import('@tributary/edge-agent')).agentConfigSchema },
  { keys: ['gateway'], kind: 'gateway', schema: async () => (await import('@tributary/gateway')).gatewayConfigSchema },
  {
    keys: ['processor'],
    kind: 'processor',
    schema: async () => (await import('@tributary/cloud-processor')).processorConfigSchema,
  },
  { keys: ['kind'], kind: 'contract', schema: async () => (await import('@tributary/protocol')).contractSchema },
  {
    keys: ['name', 'devices'],
    kind: 'scenario',
    schema: async () => (await import('@tributary/firmware-sim')).scenarioSchema,
  },
  {
    keys: ['devices'],
    kind: 'devices',
    schema: async () => (await import('@tributary/cloud-processor')).deviceRegistrySchema,
  },
  ...RULES_KEYS.map((key) => ({
    keys: [key],
    kind: RULES,
    schema: async () => (await import('@tributary/cloud-processor')).rulesSchema,
  })),
]

export function checkCommand(): Command {
  return new Command('check')
    .description(
      'check config files (agent, gateway, processor, contract, scenario, devices, alert rules) and report every mistake at once',
    )
    .argument('<files...>', 'YAML files, or folders of them; what each is, is told by its keys')
    .option('--contracts <folder>', 'look up there which kinds, fields and detectors alert rules may name')
    .option('--json', 'print {files: [{file, kind, mistakes: [{path, message, line}], note}]}')
    .addHelpText(
      'after',
      `
What alert rules name is looked up in the contracts and notifiers of the processor's config, when that is given too, else in the
contracts that are given, or in --contracts.

Examples:
  tributary check /etc/tributary
  tributary check processor.yaml alerts.yaml
  tributary check alerts.yaml --contracts contracts`,
    )
    .action(async (files: string[], options: { json?: boolean; contracts?: string }) => {
      const checked = await lookUpRules((await Promise.all(files.map(checkPath))).flat(), options.contracts)
      if (options.json) printJson({ files: checked })
      else for (const result of checked) report(result)
      if (checked.some(({ mistakes }) => mistakes.length > 0)) process.exitCode = 2
    })
}

async function checkPath(path: string): Promise<Checked[]> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (!isFolder) return [await check(path)]
  const names = (await readdir(path)).filter((name) => /\.ya?ml$/.test(name)).sort()
  if (names.length === 0) return [unknown(path, 'there is no YAML file in the folder')]
  const checked = await Promise.all(names.map((name) => check(join(path, name))))
  const isContracts = checked.some(({ kind }) => kind === 'contract')
  return isContracts ? Promise.all(checked.map(nameOfContract)) : checked
}

/** In a folder of contracts each is found by the name of its file. */
async function nameOfContract(checked: Checked): Promise<Checked> {
  const { file, kind, mistakes } = checked
  if (kind !== 'contract') return checked
  const { kind: named } = parse(await readFile(file, 'utf8')) as { kind: unknown }
  if (basename(file) === `${named}.yaml`) return checked
  return { ...checked, mistakes: [...mistakes, { path: 'kind', message: `call the file ${named}.yaml`, line: 1 }] }
}

async function check(file: string): Promise<Checked> {
  const found = await identify(file)
  if ('mistakes' in found) return found
  return { file, kind: found.kind, mistakes: await mistakesOf(file, await found.schema()) }
}

async function mistakesOf(file: string, schema: z.ZodType): Promise<readonly ConfigMistake[]> {
  try {
    await loadConfig(file, schema)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes
    throw error
  }
}

/** What alert rules name must be there: it is read a second time, with what is known of that. */
async function lookUpRules(checked: readonly Checked[], folder: string | undefined): Promise<Checked[]> {
  const isGood = (kind: string) => (one: Checked) => one.kind === kind && one.mistakes.length === 0
  const given = checked.filter(isGood('contract')).map(({ file }) => file)
  const isRules = isGood(RULES)
  const processors = await Promise.all(checked.filter(isGood('processor')).map(({ file }) => readProcessor(file)))
  return Promise.all(
    checked.map(async (one): Promise<Checked> => {
      if (!isRules(one)) return one
      const { file } = one
      const processor = processors.find(({ alerts }) => alerts === resolve(file))
      const from = folder ?? processor?.contracts
      const contracts = from === undefined ? await readFiles(given) : await readFolder(from)
      if (contracts instanceof Error)
        return { ...one, mistakes: [{ path: '', message: contracts.message, line: undefined }] }
      if (contracts.size === 0)
        return { ...one, note: 'kinds, fields and detectors were not looked up: give the contracts, too' }
      const { rulesSchemaFor } = await import('@tributary/cloud-processor')
      return { ...one, mistakes: await mistakesOf(file, rulesSchemaFor(contracts, processor?.notifiers)) }
    }),
  )
}

async function readProcessor(file: string) {
  const { processorConfigSchema } = await import('@tributary/cloud-processor')
  const { contracts, alerts, notifiers } = await loadConfig(file, processorConfigSchema)
  const at = (path: string) => resolve(dirname(file), path)
  return { contracts: at(contracts), alerts: alerts && at(alerts), notifiers: notifiers.map(({ name }) => name) }
}

async function readFiles(files: readonly string[]): Promise<Contracts> {
  const { contractSchema } = await import('@tributary/protocol')
  const contracts = await Promise.all(files.map((file) => loadConfig(file, contractSchema)))
  return new Map(contracts.map((contract) => [contract.kind, contract]))
}

/** @returns what is wrong with the folder */
async function readFolder(folder: string): Promise<Contracts | Error> {
  const { ContractsError, readContracts } = await import('@tributary/protocol')
  return readContracts(folder).catch((error: unknown) => {
    if (error instanceof ContractsError) return error
    throw error
  })
}

const unknown = (file: string, message: string): Checked => ({
  file,
  kind: 'unknown',
  mistakes: [{ path: '', message, line: undefined }],
})

async function identify(file: string): Promise<(typeof KINDS)[number] | Checked> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    return unknown(file, errorCode(error) === 'ENOENT' ? 'the file does not exist' : messageOf(error))
  }
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    return unknown(file, `not valid YAML: ${messageOf(error)}`)
  }
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : []
  return (
    KINDS.find((one) => one.keys.every((key) => keys.includes(key))) ??
    unknown(
      file,
      `cannot tell what this is: at its top stands none of ${KINDS.map((one) => one.keys.map((key) => `"${key}"`).join(' and ')).join(', ')}`,
    )
  )
}

function report({ file, kind, mistakes, note }: Checked): void {
  if (mistakes.length === 0) print(`${file}: ${kind}, no mistakes${note ? ` (${note})` : ''}`)
  else print(new ConfigError(file, mistakes).message)
}
