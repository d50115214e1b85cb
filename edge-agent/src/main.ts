/** The agent as a program of its own. */
import { parseArgs } from 'node:util'
import { EXIT_USER_ERROR, loadConfig, messageOf, UserError, VERSION } from '@tributary/runtime'
import { runAgent } from './agent.ts'
import { agentConfigSchema } from './config.ts'

const HELP = `tributary-agent ${VERSION}: from serial ports and MQTT to the gateway, through a spool

  --config FILE   the config, YAML (see agent.example.yaml)
  --check         read the config, report every mistake, and exit
  --version
  --help

Exit codes: 0 stopped on request, 1 failed, 2 a person must mend something (config, port, credentials).
`

async function main(): Promise<number> {
  let options: { config?: string; check?: boolean; version?: boolean; help?: boolean }
  try {
    options = parseArgs({
      options: {
        config: { type: 'string', short: 'c' },
        check: { type: 'boolean' },
        version: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${HELP}`)
    return EXIT_USER_ERROR
  }
  if (options.help || options.version) {
    process.stdout.write(options.help ? HELP : `${VERSION}\n`)
    return 0
  }
  if (options.config === undefined) {
    process.stderr.write(`--config is missing\n\n${HELP}`)
    return EXIT_USER_ERROR
  }
  if (!options.check) return runAgent(options.config)
  try {
    await loadConfig(options.config, agentConfigSchema)
    process.stdout.write(`${options.config}: no mistakes\n`)
    return 0
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    process.stderr.write(`${error.message}\n${error.hint ? `hint: ${error.hint}\n` : ''}`)
    return EXIT_USER_ERROR
  }
}

main().then((exitCode) => {
  process.exitCode = exitCode
})
