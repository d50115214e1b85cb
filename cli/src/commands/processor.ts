import { Command } from 'commander'

export function processorCommand(): Command {
  return new Command('processor')
    .description('run the processor: JetStream → InfluxDB, windows, anomalies, alerts')
    .requiredOption('-c, --config <file>', 'its YAML config')
    .option('--partitions <list>', 'work on these, such as 0-7 or 0-3,8, instead of those in the config')
    .addHelpText(
      'after',
      `
Several processors share the stream by partitions: all agents of a site are in one, the hash of the site's name modulo 16.
To take over those of a processor that died, start one with them, here or on another machine. Two at work on the same
partition: the one that was started later goes on, the other ends with exit code 2.`,
    )
    .action(async ({ config, ...overrides }: { config: string; partitions?: string }) => {
      const { runProcessor } = await import('@tributary/cloud-processor')
      process.exitCode = await runProcessor(config, overrides)
    })
}
