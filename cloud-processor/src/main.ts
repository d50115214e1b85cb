#!/usr/bin/env node
import { parseArgs } from 'node:util'
import { EXIT_USER_ERROR, loadConfig, messageOf, UserError } from '@tributary/runtime'
import { processorConfigSchema } from './config.ts'
import { runProcessor } from './run.ts'

const HELP = `tributary-processor: takes batches from JetStream; stores readings, windows, anomalies and alerts in InfluxDB

  --config FILE   its YAML config
  --check         say what is wrong with the config, and end
  --help          this text
`
const say = (text: string) => void process.stdout.write(`${text}\n`)

async function main(): Promise<number> {
  let options: { config?: string | undefined; check?: boolean | undefined; help?: boolean | undefined }
  try {
    options = parseArgs({
      options: { config: { type: 'string' }, check: { type: 'boolean' }, help: { type: 'boolean' } },
    }).values
  } catch (error) {
    say(`${messageOf(error)}\n\n${HELP}`)
    return EXIT_USER_ERROR
  }
  if (options.help) {
    say(HELP)
    return 0
  }
  if (options.config === undefined) {
    say(`--config FILE is missing\n\n${HELP}`)
    return EXIT_USER_ERROR
  }
  return options.check ? check(options.config) : runProcessor(options.config)
}

async function check(configPath: string): Promise<number> {
  try {
    await loadConfig(configPath, processorConfigSchema)
    say(`${configPath}: no mistakes`)
    return 0
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    say(`${error.message}${error.hint ? `\n${error.hint}` : ''}`)
    return EXIT_USER_ERROR
  }
}

process.exitCode = await main()
