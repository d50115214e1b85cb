import {
  createLogger,
  createMetrics,
  type LogLevel,
  loadConfig,
  orReportFatal,
  runUntilSignal,
  systemClock,
} from '@tributary/runtime'
import { type GatewayConfig, gatewayConfigSchema } from './config.ts'
import { createCredentials } from './credentials.ts'
import { createGateway, resolvePaths } from './gateway.ts'
import { type SiteViewConfig, siteViewOf, siteViewSchema } from './site-view-config.ts'
import type { ChildProgram } from './site-view-process.ts'

/** @throws ConfigError with all mistakes */
export const loadGatewayConfig = async (configPath: string): Promise<GatewayConfig> =>
  resolvePaths(await loadConfig(configPath, gatewayConfigSchema), configPath)

/** Where the site view is and what it shows. @throws ConfigError with all mistakes */
export async function loadSiteViewConfig(configPath: string): Promise<SiteViewSettings> {
  const config = await loadGatewayConfig(configPath)
  const { gateway, site, log, site_view: section = siteViewSchema.parse({}) } = config
  return { ...siteViewOf(section, config, configPath), gateway, site, logLevel: log.level }
}
export type SiteViewSettings = SiteViewConfig & {
  readonly gateway: string
  readonly site: string
  readonly logLevel: LogLevel
}

/**
 * Runs until SIGINT or SIGTERM; SIGHUP reads credentials and certificate again.
 * @param siteViewProgram the site view, to be run beside it
 * @returns the exit code
 */
export async function runGateway(configPath: string, siteViewProgram?: ChildProgram): Promise<number> {
  let log = createLogger('gateway', 'info')
  const work = async () => {
    const config = await loadGatewayConfig(configPath)
    log = createLogger('gateway', config.log.level)
    const siteView =
      config.site_view || siteViewProgram
        ? { config: await loadSiteViewConfig(configPath), program: siteViewProgram }
        : undefined
    const metrics = createMetrics('gateway')
    const gateway = await createGateway(config, { clock: systemClock, log, metrics, siteView })
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
