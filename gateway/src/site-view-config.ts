/** The section `site_view` of the gateway's config: the page for the technician on site, and how it reaches the gateway. */
import { dirname, join, resolve } from 'node:path'
import { isName, NAME_BYTES_MAX, NAME_RULE } from '@tributary/protocol'
import { type HostPort, hostPort } from '@tributary/runtime'
import { z } from 'zod'

const LOOPBACK = /^(127(\.\d{1,3}){3}|::1|localhost)$/
const path = () => z.string().min(1, 'must be a path')

export const siteViewSchema = z.strictObject({
  /** Where the page is. */
  listen: hostPort().prefault('127.0.0.1:1880'),
  tls: z.strictObject({ cert: path(), key: path() }).optional(),
  /** Flows, login and token. Default: `<spool.folder>-site-view`. */
  folder: path().optional(),
  /** Units, decimals and limits. Default: the contracts that came with the program. */
  contracts: path().optional(),
  /** Where the gateway gives out what comes in, with a token; on this machine alone. */
  tap: hostPort()
    .refine(({ host }) => LOOPBACK.test(host), 'must be an address of this machine alone, such as 127.0.0.1')
    .prefault('127.0.0.1:9605'),
  /** Whose samples those of flows are. Default: `<gateway>-site`. */
  agent: z.string().refine(isName, NAME_RULE).optional(),
})

export interface SiteViewConfig {
  readonly listen: HostPort
  readonly tls: { readonly cert: string; readonly key: string } | undefined
  readonly folder: string
  readonly contracts: string | undefined
  readonly tap: HostPort
  readonly agent: string
}

/** With all defaults filled in, and paths from the config file's folder. @param gateway its spool's path is absolute already */
export function siteViewOf(
  section: z.infer<typeof siteViewSchema>,
  gateway: { readonly gateway: string; readonly spool: { readonly folder: string } },
  configFile: string,
): SiteViewConfig {
  const from = (given: string) => resolve(dirname(configFile), given)
  const { listen, tap, tls, folder, contracts, agent } = section
  return {
    listen,
    tap,
    tls: tls && { cert: from(tls.cert), key: from(tls.key) },
    folder: folder === undefined ? `${gateway.spool.folder}-site-view` : from(folder),
    contracts: contracts === undefined ? undefined : from(contracts),
    agent: agent ?? `${gateway.gateway.slice(0, NAME_BYTES_MAX - '-site'.length)}-site`,
  }
}

/** The token lies beside what it opens; whoever may read the file may see and add samples. */
export const siteTokenFile = (folder: string): string => join(folder, 'token')
