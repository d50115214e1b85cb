#!/usr/bin/env node
import { loadConfig, runProgram } from '@tributary/runtime'
import { processorConfigSchema } from './config.ts'
import { runProcessor } from './run.ts'

process.exitCode = await runProgram({
  name: 'tributary-processor',
  purpose: 'takes batches from JetStream; stores readings, windows, anomalies and alerts in InfluxDB',
  check: async (configPath) => {
    await loadConfig(configPath, processorConfigSchema)
    return `${configPath}: no mistakes`
  },
  run: runProcessor,
})
