/** `tributary check`: every mistake in every config file at once. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ConfigError, type ConfigMistake, errorCode, loadConfig, messageOf } from '@tributary/runtime'
import { Command } from 'commander'
import { parse } from 'yaml'
import type { z } from 'zod'
import { print, printJson } from '../print.ts'

interface Checked {
  readonly file: string
  readonly kind: string
  readonly mistakes: readonly ConfigMistake[]
}

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
  {
    keys: ['rules'],
    kind: 'alert rules',
    schema: async () => (await import('@tributary/cloud-processor')).rulesSchema,
  },
]

export function checkCommand(): Command {
  return new Command('check')
    .description(
      'check config files (agent, gateway, processor, contract, scenario, devices, alert rules) and report every mistake at once',
    )
    .argument('<files...>', 'YAML files, or folders of them; what each is, is told by its keys')
    .option('--json', 'print {files: [{file, kind, mistakes: [{path, message, line}]}]}')
    .action(async (files: string[], options: { json?: boolean }) => {
      const checked = (await Promise.all(files.map(checkPath))).flat()
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
  try {
    await loadConfig(file, await found.schema())
    return { file, kind: found.kind, mistakes: [] }
  } catch (error) {
    if (error instanceof ConfigError) return { file, kind: found.kind, mistakes: error.mistakes }
    throw error
  }
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

function report({ file, kind, mistakes }: Checked): void {
  if (mistakes.length === 0) print(`${file}: ${kind}, no mistakes`)
  else print(new ConfigError(file, mistakes).message)
}
