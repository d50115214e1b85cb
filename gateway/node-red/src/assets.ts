/** Where our nodes, the page and the contracts lie: in the repository, or beside the one file that a shipped program is. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const beside = fileURLToPath(new URL('./site-view/', import.meta.url))
const isShipped = existsSync(beside)

/** Holds `nodes/` and `page/`. */
export const assetsFolder = isShipped ? beside : fileURLToPath(new URL('../', import.meta.url))
export const shippedContractsFolder = fileURLToPath(
  new URL(isShipped ? './contracts/' : '../../../contracts/', import.meta.url),
)
