import { resolve } from 'node:path'
import { isAbort, systemClock, UserError } from '@tributary/runtime'
import { Command } from 'commander'
import { duration, port, speed, wholeNumber } from '../option-values.ts'
import { count, print } from '../print.ts'

interface SimulateOptions {
  scenario: string
  dataDir?: string
  seed?: number
  rate?: number
  for?: number
  mqttHost: string
  mqttPort: number
  adminPort: number
  replay?: string
  speed: number
  link?: string
}

export function simulateCommand(): Command {
  return new Command('simulate')
    .description('run simulated devices on pseudo-terminals and MQTT, with faults, and a ledger of what they measured')
    .option('--data-dir <folder>', 'ports, ledger and simulator.json are written there')
    .option('--scenario <file>', 'a YAML file, or demo, anomalies, late, steady or mqtt-only', 'demo')
    .option('--seed <n>', 'seed of values and faults, instead of the scenario’s', wholeNumber)
    .option('--rate <n>', 'readings a second of all devices together', wholeNumber)
    .option('--for <duration>', 'stop measuring after this long, such as 90s; the links stay up', duration)
    .option('--mqtt-host <address>', "where the site's broker listens", '127.0.0.1')
    .option('--mqtt-port <port>', "the broker's port (0: a free one, see simulator.json)", port, 1884)
    .option('--admin-port <port>', 'port of the admin server', port, 9604)
    .option('--replay <file>', 'instead of devices: play a recording of `tributary record` on a port')
    .option('--speed <n>', 'with --replay: 1 as it was, 10 ten times as fast, max as fast as it is read', speed, 1)
    .option('--link <path>', 'with --replay: where the port is; default: the file with .port behind it')
    .addHelpText(
      'after',
      '\nSIGUSR2 stops measuring and keeps the links; Ctrl-C waits until everything is acknowledged, at most 10 s.',
    )
    .action(async (options: SimulateOptions) => {
      if (options.replay !== undefined) return replay(options.replay, options)
      if (options.dataDir === undefined)
        throw new UserError('--data-dir is missing', { hint: 'give a folder, such as --data-dir ./site' })
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

async function replay(file: string, options: SimulateOptions): Promise<void> {
  const { replayRecording } = await import('@tributary/firmware-sim')
  const stopping = new AbortController()
  const stop = () => stopping.abort(new DOMException('stopped', 'AbortError'))
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  try {
    const summary = await replayRecording(
      { file, link: resolve(options.link ?? `${file}.port`), speed: options.speed },
      {
        clock: systemClock,
        onNotice: (text) => process.stderr.write(`${text}\n`),
        onReady: (link, header) => {
          print(link)
          process.stderr.write(
            `→ the agent's config: path: ${link}, baud: ${header.baud}; recorded ${new Date(header.startedAtMs).toISOString()} at ${header.port}\n`,
          )
        },
      },
      stopping.signal,
    )
    const seconds = count(Math.round(summary.seconds * 10) / 10)
    print(`played ${count(summary.bytes)} bytes in ${count(summary.chunks)} pieces, ${seconds} s`)
    if (summary.damagedLines > 0)
      print(`${count(summary.damagedLines)} lines of the recording are damaged and were left out`)
    else if (!summary.complete) print('the recording was cut off: what there is of it was played')
    process.exitCode = summary.damagedLines > 0 ? 1 : 0
  } catch (error) {
    if (!isAbort(error)) throw error
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}
