/** Everything under `provisioning/`: what Grafana reads at start, and what the viewer draws. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contract, Contracts } from '@tributary/protocol'
import { accountDashboard } from './account-dashboard.ts'
import { alertingFiles } from './alerting-files.ts'
import { alertsDashboard } from './alerts-dashboard.ts'
import { compareDashboard, comparedFields } from './compare-dashboard.ts'
import { fleetDashboard } from './fleet-dashboard.ts'
import { kindDashboard } from './kind-dashboard.ts'
import { pipelineDashboard } from './pipeline-dashboard.ts'
import { REBUILD_COMMAND } from './provisioning-folder.ts'
import { qualityDashboard } from './quality-dashboard.ts'

const NOTICE = `# Made by \`${REBUILD_COMMAND}\`; changes here are overwritten.`

export const dashboards = (contracts: Contracts): Dashboard[] => [
  fleetDashboard(contracts),
  accountDashboard(),
  pipelineDashboard(contracts),
  alertsDashboard(contracts),
  qualityDashboard(contracts),
  ...byKind(contracts).map(kindDashboard),
  ...byKind(contracts)
    .filter((contract) => comparedFields(contract).length > 0)
    .map(compareDashboard),
]

const byKind = (contracts: Contracts): Contract[] => [...contracts.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1))

/** Path below `provisioning/` → text. The same contracts give the same bytes. */
export function provisioningFiles(contracts: Contracts): ReadonlyMap<string, string> {
  const files = new Map<string, string>([
    ['datasources/tributary.yaml', INFLUX_1],
    ['datasources-influxdb2/tributary.yaml', INFLUX_2],
    ['datasources-influxdb3/tributary.yaml', INFLUX_3],
    ['dashboards/tributary.yaml', PROVIDER],
    ...alertingFiles(NOTICE),
  ])
  for (const dashboard of dashboards(contracts))
    files.set(`dashboards/${dashboard.uid?.replace(/^tributary-/, '')}.json`, `${JSON.stringify(dashboard, null, 2)}\n`)
  return files
}

const INFLUX_1 = `${NOTICE}
# InfluxDB 1.x. The environment of grafana-server must have TRIBUTARY_INFLUX_URL, TRIBUTARY_INFLUX_DATABASE,
# TRIBUTARY_INFLUX_USER and TRIBUTARY_INFLUX_PASSWORD (the last two may be empty). Let the user be one that may only read.
apiVersion: 1
datasources:
  - name: Tributary
    uid: tributary
    type: influxdb
    access: proxy
    isDefault: true
    editable: false
    url: $TRIBUTARY_INFLUX_URL
    database: $TRIBUTARY_INFLUX_DATABASE
    user: $TRIBUTARY_INFLUX_USER
    jsonData:
      version: InfluxQL
      httpMode: GET
      dbName: $TRIBUTARY_INFLUX_DATABASE
    secureJsonData:
      password: $TRIBUTARY_INFLUX_PASSWORD
`

const INFLUX_2 = `${NOTICE}
# InfluxDB 2.x through its InfluxQL interface: the buckets must be mapped (DBRP) as database TRIBUTARY_INFLUX_DATABASE with
# the retention policies autogen (default) and rollup. Needs TRIBUTARY_INFLUX_URL, TRIBUTARY_INFLUX_DATABASE and
# TRIBUTARY_INFLUX_TOKEN in the environment of grafana-server. Let the token be one that may only read those buckets.
apiVersion: 1
datasources:
  - name: Tributary
    uid: tributary
    type: influxdb
    access: proxy
    isDefault: true
    editable: false
    url: $TRIBUTARY_INFLUX_URL
    database: $TRIBUTARY_INFLUX_DATABASE
    jsonData:
      version: InfluxQL
      httpMode: GET
      dbName: $TRIBUTARY_INFLUX_DATABASE
      httpHeaderName1: Authorization
    secureJsonData:
      httpHeaderValue1: Token $TRIBUTARY_INFLUX_TOKEN
`

const INFLUX_3 = `${NOTICE}
# InfluxDB 3 Core by its InfluxQL interface: TRIBUTARY_INFLUX_DATABASE is one database, in which "rollup"."climate_1m" is the table
# climate_1m. Needs TRIBUTARY_INFLUX_URL, TRIBUTARY_INFLUX_DATABASE and TRIBUTARY_INFLUX_TOKEN in the environment of
# grafana-server; without --without-auth the token is an admin's, as Core has no others.
apiVersion: 1
datasources:
  - name: Tributary
    uid: tributary
    type: influxdb
    access: proxy
    isDefault: true
    editable: false
    url: $TRIBUTARY_INFLUX_URL
    database: $TRIBUTARY_INFLUX_DATABASE
    jsonData:
      version: InfluxQL
      httpMode: GET
      dbName: $TRIBUTARY_INFLUX_DATABASE
      httpHeaderName1: Authorization
    secureJsonData:
      httpHeaderValue1: Token $TRIBUTARY_INFLUX_TOKEN
`

const PROVIDER = `${NOTICE}
# TRIBUTARY_DASHBOARDS_FOLDER in the environment of grafana-server: where the *.json beside this file are found.
apiVersion: 1
providers:
  - name: tributary
    folder: Tributary
    folderUid: tributary
    type: file
    disableDeletion: true
    allowUiUpdates: false
    updateIntervalSeconds: 30
    options:
      path: $TRIBUTARY_DASHBOARDS_FOLDER
      foldersFromFilesStructure: false
`
