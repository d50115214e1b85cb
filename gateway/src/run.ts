import { createLogger, createMetrics, loadConfig, orReportFatal, runUntilSignal, systemClock } from '@tributary/runtime'
import { type GatewayConfig, gatewayConfigSchema } from './config.ts'
import { createCredentials } from './credentials.ts'
import { createGateway, resolvePaths } from './gateway.ts'

/** @throws ConfigError with all mistakes */
export const loadGatewayConfig = async (configPath: string): Promise<GatewayConfig> =>
  resolvePaths(await loadConfig(configPath, gatewayConfigSchema), configPath)

/** Runs until SIGINT or SIGTERM; SIGHUP reads credentials and certificate again. @returns the exit code */
export async function runGateway(configPath: string): Promise<number> {
  let log = createLogger('gateway', 'info')
  const work = async () => {
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
  }
  return orReportFatal(work, () => log)
}

/** Checks config and credentials. @returns a sentence that says that all is well @throws UserError */
export async function checkGateway(configPath: string): Promise<string> {
  const config = await loadGatewayConfig(configPath)
  const credentials = createCredentials(config.credentials_file, { log: createLogger('gateway', 'warn') })
  await credentials.reload()
  return `${configPath}: gateway ${config.gateway} at site ${config.site}, ${credentials.size} agents. No mistakes.`
}
