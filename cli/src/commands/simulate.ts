import { Command } from 'commander'
import { duration, port, wholeNumber } from '../option-values.ts'

interface SimulateOptions {
  scenario: string
  dataDir: string
  seed?: number
  rate?: number
  for?: number
  mqttHost: string
  mqttPort: number
  adminPort: number
}

export function simulateCommand(): Command {
  return new Command('simulate')
    .description('run simulated devices on pseudo-terminals and MQTT, with faults, and a ledger of what they measured')
    .requiredOption('--data-dir <folder>', 'ports, ledger and simulator.json are written there')
    .option('--scenario <file>', 'a YAML file, or demo, steady or mqtt-only', 'demo')
    .option('--seed <n>', 'seed of values and faults, instead of the scenario’s', wholeNumber)
    .option('--rate <n>', 'readings a second of all devices together', wholeNumber)
    .option('--for <duration>', 'stop measuring after this long, such as 90s; the links stay up', duration)
    .option('--mqtt-host <address>', "where the site's broker listens", '127.0.0.1')
    .option('--mqtt-port <port>', "the broker's port (0: a free one, see simulator.json)", port, 1884)
    .option('--admin-port <port>', 'port of the admin server', port, 9604)
    .addHelpText(
      'after',
      '\nSIGUSR2 stops measuring and keeps the links; Ctrl-C waits until everything is acknowledged, at most 10 s.',
    )
    .action(async (options: SimulateOptions) => {
      const { runSimulator } = await import('@tributary/firmware-sim')
      process.exitCode = await runSimulator({
        scenario: options.scenario,
        dataDir: options.dataDir,
        seed: options.seed,
        rate: options.rate,
        durationMs: options.for,
        mqtt: { host: options.mqttHost, port: options.mqttPort },
        admin: { host: '127.0.0.1', port: options.adminPort },
      })
    })
}
