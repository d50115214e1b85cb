/** The site view beside the gateway dies, again and again, or is flooded through every door that it has: the path of a reading must not notice. */
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { constants, setPriority } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@tributary/runtime'
import { answers } from '../managed-process.ts'
import type { Pipeline } from '../pipeline.ts'
import type { Fault } from './fault.ts'

const COMES_BACK_MS_MAX = 90_000
const FLOOD_ENDS_MS_MAX = 30_000
const floodProgram = fileURLToPath(new URL('./site-view-flood.mjs', import.meta.url))

function obstacle(): string | undefined {
  try {
    createRequire(import.meta.url).resolve('node-red')
    return undefined
  } catch {
    return 'Node-RED is not installed (`npm ci` in a checkout brings it)'
  }
}

/** The processes that a process started. */
async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(
    threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')),
  )
  return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number))
}

/** The site view that runs as a child of the gateway; undefined while there is none. */
export async function siteViewPid({ gateway }: Pipeline): Promise<number | undefined> {
  if (gateway.pid === undefined) return undefined
  for (const child of await childrenOf(gateway.pid)) {
    const line = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '')
    if (line.includes('site-view')) return child
  }
  return undefined
}

/** SIGKILL. @returns when there is another, and it answers @throws when there is none after a minute and a half */
export async function killSiteView(pipeline: Pipeline, signal: AbortSignal): Promise<void> {
  const first = await siteViewPid(pipeline)
  if (first === undefined) throw new Error('no site view runs')
  process.kill(first, 'SIGKILL')
  await siteViewIsThere(pipeline, first, signal)
}

export async function siteViewIsThere(
  pipeline: Pipeline,
  notPid: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const untilMs = systemClock.monotonicMs() + COMES_BACK_MS_MAX
  for (;;) {
    const pid = await siteViewPid(pipeline)
    if (pid !== undefined && pid !== notPid && (await answers(`${pipeline.urls.siteView}/healthz`))) return
    if (systemClock.monotonicMs() > untilMs) throw new Error('the site view did not come back')
    await systemClock.sleep(200, signal)
  }
}

/** See `site-view-flood.mjs`; it has the lowest priority there is. */
export async function floodSiteView(
  { urls, siteViewFolder }: Pipeline,
  durationMs: number,
  signal: AbortSignal,
): Promise<{ requests: number; derived: number; refused: number }> {
  const token = (await readFile(join(siteViewFolder, 'token'), 'utf8')).trim()
  const { siteView, siteTap } = urls
  const plan = JSON.stringify({ siteView, siteTap, token, durationMs })
  return new Promise((resolve, reject) => {
    const options = { signal, timeout: durationMs + FLOOD_ENDS_MS_MAX }
    const child = execFile(process.execPath, [floodProgram, plan], options, (error, stdout) =>
      error ? reject(error) : resolve(JSON.parse(stdout)),
    )
    if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
  })
}

const killed: Fault = {
  kind: 'node-red-killed',
  says: 'SIGKILL of the site view beside the gateway, twice, under load; the gateway starts it again',
  variants: ['while it serves'],
  needsSiteView: true,
  obstacle,
  async run({ pipeline }, _, { signal }) {
    await siteViewIsThere(pipeline, undefined, signal)
    await killSiteView(pipeline, signal)
    await killSiteView(pipeline, signal)
  },
}

const flooded: Fault = {
  kind: 'node-red-flooded',
  says: 'the site view and the tap behind it get more requests, wrong passwords and derived samples than they can take, for 10 s',
  variants: ['through every door'],
  needsSiteView: true,
  obstacle,
  async run({ pipeline }, _, { signal, say }) {
    await siteViewIsThere(pipeline, undefined, signal)
    const { requests, derived, refused } = await floodSiteView(pipeline, 10_000, signal)
    say(`${requests} requests; ${derived} derived readings were taken, ${refused} refused`)
  },
}

export const siteViewFaults: readonly Fault[] = [killed, flooded]
