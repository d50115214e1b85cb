/** `npm run build:dashboards`: writes `provisioning/` from the contracts, and removes what is no longer made. */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readContracts } from '@tributary/protocol'
import { provisioningFiles } from './provisioning.ts'
import { provisioningFolder } from './provisioning-folder.ts'

const contracts = await readContracts(fileURLToPath(new URL('../../contracts/', import.meta.url)))
const files = provisioningFiles(contracts)
for (const entry of await readdir(provisioningFolder, { recursive: true, withFileTypes: true }).catch(() => [])) {
  const path = join(entry.parentPath, entry.name).slice(provisioningFolder.length)
  if (entry.isFile() && !files.has(path)) await rm(join(provisioningFolder, path))
}
for (const [path, text] of files) {
  await mkdir(dirname(join(provisioningFolder, path)), { recursive: true })
  await writeFile(join(provisioningFolder, path), text)
}
console.log(`${files.size} files in ${provisioningFolder}`)
