/** Grafana with the provisioned dashboards, when the machine has one; it is never unpacked or installed for the demo. */
import { access } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { answers, createManagedProcess, type ManagedProcess } from './managed-process.ts'
import { repositoryFolder } from './repository.ts'
import { findOnPath } from './servers.ts'

export interface FoundGrafana {
  readonly path: string
  readonly arguments: readonly string[]
}

/** `grafana-server` (every version up to 12), else `grafana server`; undefined when there is neither. */
export async function findGrafana(): Promise<FoundGrafana | undefined> {
  const server = await findOnPath('grafana-server')
  if (server) return { path: server, arguments: await homeArguments(server) }
  const grafana = await findOnPath('grafana')
  return grafana ? { path: grafana, arguments: ['server', ...(await homeArguments(grafana))] } : undefined
}

/** The folder with Grafana's own `conf` and `public`: of a package, or beside the program of an unpacked archive. */
async function homeArguments(program: string): Promise<string[]> {
  for (const home of ['/usr/share/grafana', join(dirname(program), '..')]) {
    const found = await access(join(home, 'conf', 'defaults.ini')).then(
      () => true,
      () => false,
    )
    if (found) return ['--homepath', home]
  }
  return []
}

/** Anyone on this machine may look; nobody needs to log in. Its data lies in `<folder>/grafana`. */
export function createGrafanaServer(
  grafana: FoundGrafana,
  folder: string,
  port: number,
  influxUrl: string,
): ManagedProcess {
  const provisioning = join(repositoryFolder, 'dashboards', 'provisioning')
  return createManagedProcess({
    name: 'grafana',
    program: grafana.path,
    arguments: grafana.arguments,
    environment: {
      GF_SERVER_HTTP_ADDR: '127.0.0.1',
      GF_SERVER_HTTP_PORT: String(port),
      GF_PATHS_DATA: join(folder, 'grafana'),
      GF_PATHS_LOGS: join(folder, 'grafana', 'log'),
      GF_PATHS_PLUGINS: join(folder, 'grafana', 'plugins'),
      GF_PATHS_PROVISIONING: provisioning,
      GF_AUTH_ANONYMOUS_ENABLED: 'true',
      GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
      GF_ANALYTICS_REPORTING_ENABLED: 'false',
      GF_ANALYTICS_CHECK_FOR_UPDATES: 'false',
      GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES: 'false',
      TRIBUTARY_INFLUX_URL: influxUrl,
      TRIBUTARY_INFLUX_DATABASE: 'tributary',
      TRIBUTARY_INFLUX_USER: '',
      TRIBUTARY_INFLUX_PASSWORD: '',
      TRIBUTARY_DASHBOARDS_FOLDER: join(provisioning, 'dashboards'),
      // Nobody gets mail of a demo: Grafana has no mail server unless it is given one.
      TRIBUTARY_ALERT_EMAIL: 'nobody@localhost',
      TRIBUTARY_RUNBOOK_URL: '',
    },
    logFile: join(folder, 'logs', 'grafana.log'),
    isReady: () => answers(`http://127.0.0.1:${port}/api/health`),
    readyMsMax: 90_000,
  })
}
