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
import { type ProcessorConfig, partitions, processorConfigSchema } from './config.ts'
import { createProcessor } from './processor.ts'

export interface ProcessorOverrides {
  /** Instead of those in the config, such as `0-7`. */
  readonly partitions?: string
}

/** Runs until SIGINT or SIGTERM. @returns the exit code */
export async function runProcessor(configPath: string, overrides: ProcessorOverrides = {}): Promise<number> {
  let log = createLogger('processor', 'info')
  const work = async () => {
    const config = override(await loadConfig(configPath, processorConfigSchema), overrides)
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

function override(config: ProcessorConfig, { partitions: text }: ProcessorOverrides): ProcessorConfig {
  if (text === undefined) return config
  const { data, error } = partitions().safeParse(text)
  if (data === undefined)
    throw new UserError(`--partitions ${error?.issues[0]?.message} (got "${text}")`, {
      hint: 'for example --partitions 0-7',
    })
  return { ...config, partitions: data }
}
