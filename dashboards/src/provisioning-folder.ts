/** Where the provisioned files lie: in the package, or beside the one file that a shipped program is. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const inPackage = fileURLToPath(new URL('../provisioning/', import.meta.url))
const besideBundle = fileURLToPath(new URL('./provisioning/', import.meta.url))

export const provisioningFolder = existsSync(besideBundle) ? besideBundle : inPackage
export const dashboardsFolder = `${provisioningFolder}dashboards/`
export const REBUILD_COMMAND = 'npm run build:dashboards -w @tributary/dashboards'
