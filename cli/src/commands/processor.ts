import { Command } from 'commander'

export function processorCommand(): Command {
  return new Command('processor')
    .description('run the processor: JetStream → InfluxDB, windows, anomalies, alerts')
    .requiredOption('-c, --config <file>', 'its YAML config')
    .action(async ({ config }: { config: string }) => {
      const { runProcessor } = await import('@tributary/cloud-processor')
      process.exitCode = await runProcessor(config)
    })
}
