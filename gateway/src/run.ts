import {
  createLogger,
  createMetrics,
  EXIT_FAILED,
  EXIT_USER_ERROR,
  loadConfig,
  reportFatal,
  runUntilSignal,
  systemClock,
  UserError,
} from '@tributary/runtime'
import { type GatewayConfig, gatewayConfigSchema } from './config.ts'
import { createCredentials } from './credentials.ts'
import { createGateway, resolvePaths } from './gateway.ts'

/** @throws ConfigError with all mistakes */
export const loadGatewayConfig = async (configPath: string): Promise<GatewayConfig> =>
  resolvePaths(await loadConfig(configPath, gatewayConfigSchema), configPath)

/** Runs until SIGINT or SIGTERM; SIGHUP reads credentials and certificate again. @returns the exit code */
export async function runGateway(configPath: string): Promise<number> {
  let log = createLogger('gateway', 'info')
  try {
    const config = await loadGatewayConfig(configPath)
    log = createLogger('gateway', config.log.level)
    const gateway = await createGateway(config, { clock: systemClock, log, metrics: createMetrics('gateway') })
    const onHangUp = () => {
      gateway.reload().catch((error) => log.error({ err: error }, 'reading credentials and certificate again failed'))
    }
    process.on('SIGHUP', onHangUp)
    try {
      return await runUntilSignal(gateway, { log })
    } finally {
      process.off('SIGHUP', onHangUp)
    }
  } catch (error) {
    reportFatal(error, log)
    return error instanceof UserError ? EXIT_USER_ERROR : EXIT_FAILED
  }
}

/** Checks config and credentials and says what is wrong. @returns the exit code */
export async function checkGateway(configPath: string, say: (text: string) => void): Promise<number> {
  try {
    const config = await loadGatewayConfig(configPath)
    const credentials = createCredentials(config.credentials_file, { log: createLogger('gateway', 'warn') })
    await credentials.reload()
    say(`${configPath}: gateway ${config.gateway} at site ${config.site}, ${credentials.size} agents. No mistakes.`)
    return 0
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    say(`${error.message}${error.hint ? `\n${error.hint}` : ''}`)
    return EXIT_USER_ERROR
  }
}
