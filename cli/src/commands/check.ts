/** `tributary check`: every mistake in every config file at once. */
import { readFile, stat } from 'node:fs/promises'
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
    .argument('<files...>', 'YAML files; what each is, is told by its keys')
    .option('--json', 'print {files: [{file, kind, mistakes: [{path, message, line}]}]}')
    .action(async (files: string[], options: { json?: boolean }) => {
      const checked = await Promise.all(files.map(check))
      if (options.json) printJson({ files: checked })
      else for (const result of checked) report(result)
      if (checked.some(({ mistakes }) => mistakes.length > 0)) process.exitCode = 2
    })
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

async function identify(file: string): Promise<(typeof KINDS)[number] | Checked> {
  const unknown = (message: string): Checked => ({
    file,
    kind: 'unknown',
    mistakes: [{ path: '', message, line: undefined }],
  })
  let text: string
  try {
    if ((await stat(file)).isDirectory()) return unknown('is a folder; give the files in it')
    text = await readFile(file, 'utf8')
  } catch (error) {
    return unknown(errorCode(error) === 'ENOENT' ? 'the file does not exist' : messageOf(error))
  }
  let value: unknown
  try {
    value = parse(text)
  } catch (error) {
    return unknown(`not valid YAML: ${messageOf(error)}`)
  }
  const keys = typeof value === 'object' && value !== null ? Object.keys(value) : []
  return (
    KINDS.find((one) => one.keys.every((key) => keys.includes(key))) ??
    unknown(
      `cannot tell what this is: at its top stands none of ${KINDS.map((one) => one.keys.map((key) => `"${key}"`).join(' and ')).join(', ')}`,
    )
  )
}

function report({ file, kind, mistakes }: Checked): void {
  if (mistakes.length === 0) print(`${file}: ${kind}, no mistakes`)
  else print(new ConfigError(file, mistakes).message)
}
