/** `npm run build:dashboards`: writes `provisioning/` from the contracts, and removes what is no longer made. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readContracts } from '@tributary/protocol'
import { provisioningFiles } from './provisioning.ts'
import { provisioningFolder } from './provisioning-folder.ts'
import { RUNBOOK_ADDRESS } from './runbook.ts'

/** What stands before `docs/runbook.md` in a link, as for the alerts of Grafana; the viewer has it under `/`. */
const runbookBase = process.env['TRIBUTARY_RUNBOOK_URL'] ?? '/'
const addressed = (text: string): string =>
  text.replaceAll(`"${RUNBOOK_ADDRESS}#`, `"${runbookBase}${RUNBOOK_ADDRESS.slice(1)}#`)

const contracts = await readContracts(fileURLToPath(new URL('../../contracts/', import.meta.url)))
const files = provisioningFiles(contracts)
for (const entry of await readdir(provisioningFolder, { recursive: true, withFileTypes: true }).catch(() => [])) {
  const path = join(entry.parentPath, entry.name).slice(provisioningFolder.length)
  if (entry.isFile() && !files.has(path)) await rm(join(provisioningFolder, path))
}
for (const [path, text] of files) {
  await mkdir(dirname(join(provisioningFolder, path)), { recursive: true })
  await writeFile(join(provisioningFolder, path), addressed(text))
}
console.log(`${files.size} files in ${provisioningFolder}`)
