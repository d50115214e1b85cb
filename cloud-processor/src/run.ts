import {
  createLogger,
  createMetrics,
  EXIT_FAILED,
  EXIT_USER_ERROR,
  loadConfig,
  orReportFatal,
  reportFatal,
  runUntilSignal,
  systemClock,
  UserError,
} from '@tributary/runtime'
import { processorConfigSchema } from './config.ts'
import { createProcessor } from './processor.ts'

/** Runs until SIGINT or SIGTERM. @returns the exit code */
export async function runProcessor(configPath: string): Promise<number> {
  let log = createLogger('processor', 'info')
  const work = async () => {
    const config = await loadConfig(configPath, processorConfigSchema)
    log = createLogger('processor', config.log.level)
    let failed: unknown
    const onFatal = (error: unknown) => {
      if (failed !== undefined) return // the other partitions say the same
      failed = error
      reportFatal(error, log)
      process.kill(process.pid, 'SIGTERM')
    }
    const metrics = createMetrics('processor')
    const processor = createProcessor(configPath, config, { clock: systemClock, log, metrics, onFatal })
    const reload = () => void processor.reloadContracts()
    process.on('SIGHUP', reload)
    const code = await runUntilSignal(processor, { log }).finally(() => process.off('SIGHUP', reload))
    if (failed === undefined) return code
    return failed instanceof UserError ? EXIT_USER_ERROR : EXIT_FAILED
  }
  return orReportFatal(work, () => log)
}
