import { Command } from 'commander'

export function agentCommand(): Command {
  return new Command('agent')
    .description('run the edge agent: sensors → spool → gateway')
    .requiredOption('-c, --config <file>', 'its YAML config')
    .action(async ({ config }: { config: string }) => {
      const { runAgent } = await import('@tributary/edge-agent')
      process.exitCode = await runAgent(config)
    })
}
