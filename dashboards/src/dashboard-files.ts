/** The dashboards of a folder, read anew when a file changes. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FLEET_DASHBOARD_UID } from '@tributary/protocol'
import { errorCode, type Logger, messageOf, UserError } from '@tributary/runtime'
import { ACCOUNT_UID, ALERTS_UID, PIPELINE_UID } from './overview-uids.ts'
import { REBUILD_COMMAND } from './provisioning-folder.ts'

export interface DashboardSummary {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly tags: readonly string[]
}
export interface DashboardFiles {
  /** Overviews first, in the order in which they are asked, then by title. @throws UserError when the folder cannot be read */
  list(): Promise<DashboardSummary[]>
  /** The file's text; undefined when there is no such dashboard. */
  get(uid: string): Promise<string | undefined>
}

const DASHBOARDS_MAX = 1_000
const ORDER = ['overview', 'devices', 'compare', 'health']
/** What is asked first comes first: what is wrong, what people were told, whether the data is complete. */
const OVERVIEWS = [FLEET_DASHBOARD_UID, ALERTS_UID, ACCOUNT_UID, PIPELINE_UID]

export function createDashboardFiles(folder: string, log: Logger): DashboardFiles {
  const read = new Map<string, { stamp: string; text: string; summary: DashboardSummary }>()
  const refresh = async () => {
    const names = await readdir(folder).catch((error) => {
      const why = errorCode(error) === 'ENOENT' ? 'does not exist' : messageOf(error)
      throw new UserError(`the folder of dashboards ${folder} ${why}`, { cause: error, hint: `run ${REBUILD_COMMAND}` })
    })
    const files = names.filter((name) => name.endsWith('.json')).slice(0, DASHBOARDS_MAX)
    for (const name of read.keys()) if (!files.includes(name)) read.delete(name)
    for (const name of files) {
      const path = join(folder, name)
      const { mtimeMs, size } = await stat(path)
      const stamp = `${mtimeMs}/${size}`
      if (read.get(name)?.stamp === stamp) continue
      const text = await readFile(path, 'utf8')
      const summary = summaryOf(text)
      if (summary) read.set(name, { stamp, text, summary })
      else log.warn({ path }, 'not a dashboard: it needs a uid and a title; left out')
    }
    return [...read.values()]
  }
  const rank = ({ tags }: DashboardSummary) => ORDER.findIndex((tag) => tags.includes(tag)) % ORDER.length
  const placeOf = ({ uid }: DashboardSummary) => (OVERVIEWS.includes(uid) ? OVERVIEWS.indexOf(uid) : OVERVIEWS.length)
  return {
    list: async () =>
      (await refresh())
        .map((d) => d.summary)
        .sort((a, b) => rank(a) - rank(b) || placeOf(a) - placeOf(b) || (a.title < b.title ? -1 : 1)),
    get: async (uid) => (await refresh()).find((d) => d.summary.uid === uid)?.text,
  }
}

function summaryOf(text: string): DashboardSummary | undefined {
  try {
    const { uid, title, description = '', tags = [] } = JSON.parse(text)
    return typeof uid === 'string' && typeof title === 'string' ? { uid, title, description, tags } : undefined
  } catch {
    return undefined
  }
}
