#!/usr/bin/env node
import { parseArgs } from 'node:util'
import { EXIT_USER_ERROR, messageOf } from '@tributary/runtime'
import { checkGateway, runGateway } from './run.ts'

const HELP = `tributary-gateway: takes batches from agents over MQTT, keeps them on disk, forwards them to JetStream

  --config FILE   its YAML config
  --check         say what is wrong with the config and the credentials, and end
  --help          this text

SIGHUP reads credentials_file and the TLS certificate again. SIGINT and SIGTERM stop in order.
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
  return options.check ? checkGateway(options.config, say) : runGateway(options.config)
}

process.exitCode = await main()
