import { UserError } from '@tributary/runtime'
import { Command, Option } from 'commander'
import { port } from '../option-values.ts'
import { print } from '../print.ts'

interface ViewerCommandOptions {
  influx: string
  database: string
  influxVersion: '1' | '2'
  influxUser?: string
  influxPassword?: string
  influxToken?: string
  host: string
  port: number
  dashboards?: string
}

export function viewerCommand(): Command {
  return new Command('viewer')
    .description('draw the Grafana dashboards in a browser, without Grafana; reads InfluxDB, never writes')
    .option('--influx <url>', 'InfluxDB', 'http://127.0.0.1:8086')
    .option('--database <name>', 'database', 'tributary')
    .addOption(new Option('--influx-version <version>', 'InfluxDB 1.x or 2.x').choices(['1', '2']).default('1'))
    .addOption(new Option('--influx-user <name>', 'user of InfluxDB 1.x').env('TRIBUTARY_INFLUX_USER'))
    .addOption(new Option('--influx-password <password>', 'better in the environment').env('TRIBUTARY_INFLUX_PASSWORD'))
    .addOption(
      new Option('--influx-token <token>', 'token of InfluxDB 2.x; better in the environment').env(
        'TRIBUTARY_INFLUX_TOKEN',
      ),
    )
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--port <port>', 'port', port, 3001)
    .option('--dashboards <folder>', 'other dashboards than the shipped ones')
    .action(async (options: ViewerCommandOptions) => {
      const { runViewer } = await import('@tributary/dashboards')
      process.exitCode = await runViewer({
        listen: { host: options.host, port: options.port },
        influx: {
          url: options.influx,
          database: options.database,
          version: options.influxVersion === '2' ? 2 : 1,
          auth: authOf(options),
        },
        ...(options.dashboards ? { dashboardsFolder: options.dashboards } : {}),
        onListening: (url) => print(`dashboards: ${url}`),
      })
    })
}

function authOf({ influxToken, influxUser, influxPassword }: ViewerCommandOptions) {
  if (influxToken !== undefined && influxUser !== undefined)
    throw new UserError('a user and a token of InfluxDB were given', { hint: 'give one of them' })
  if (influxToken !== undefined) return { kind: 'token', token: influxToken } as const
  return influxUser === undefined
    ? ({ kind: 'none' } as const)
    : ({ kind: 'password', user: influxUser, password: influxPassword ?? '' } as const)
}
