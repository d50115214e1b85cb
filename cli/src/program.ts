/** The command `tributary` with all that it can do; nothing is done yet. */
import { VERSION } from '@tributary/runtime'
import { Command } from 'commander'
import { agentCommand } from './commands/agent.ts'
import { alertCommand } from './commands/alert.ts'
import { anomalyCommand } from './commands/anomaly.ts'
import { chaosCommand } from './commands/chaos.ts'
import { checkCommand } from './commands/check.ts'
import { demoCommand } from './commands/demo.ts'
import { detectCommand } from './commands/detect.ts'
import { deviceCommand } from './commands/device.ts'
import { dlqCommand } from './commands/dlq.ts'
import { gatewayCommand } from './commands/gateway.ts'
import { initCommand } from './commands/init.ts'
import { ledgerCommand } from './commands/ledger.ts'
import { processorCommand } from './commands/processor.ts'
import { recordCommand } from './commands/record.ts'
import { simulateCommand } from './commands/simulate.ts'
import { siteViewCommand } from './commands/site-view.ts'
import { spoolCommand } from './commands/spool.ts'
import { statusCommand } from './commands/status.ts'
import { viewerCommand } from './commands/viewer.ts'

/** Throws `CommanderError` where commander would end the process. */
export function createProgram(): Command {
  const program = new Command('tributary')
    .description('Carries sensor readings to InfluxDB and Grafana, loses none of them, and says so with numbers.')
    .version(VERSION)
    // `alert silence` has options of its own, and so has `alert silence list`.
    .enablePositionalOptions()
    .showHelpAfterError('(`tributary help <command>` explains a command)')
    .addCommand(agentCommand())
    .addCommand(gatewayCommand())
    .addCommand(siteViewCommand())
    .addCommand(processorCommand())
    .addCommand(recordCommand())
    .addCommand(simulateCommand())
    .addCommand(viewerCommand())
    .addCommand(demoCommand())
    .addCommand(chaosCommand())
    .addCommand(initCommand())
    .addCommand(checkCommand())
    .addCommand(statusCommand())
    .addCommand(ledgerCommand())
    .addCommand(deviceCommand())
    .addCommand(detectCommand())
    .addCommand(dlqCommand())
    .addCommand(alertCommand())
    .addCommand(anomalyCommand())
    .addCommand(spoolCommand())
  exitOverrideAll(program)
  return program
}

function exitOverrideAll(command: Command): void {
  command.exitOverride()
  for (const sub of command.commands) exitOverrideAll(sub)
}
