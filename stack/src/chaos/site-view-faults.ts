/** The site view beside the gateway dies, again and again, or is flooded through every door that it has: the path of a reading must not notice. */
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { answers } from '../managed-process.ts'
import type { Pipeline } from '../pipeline.ts'
import type { Fault } from './fault.ts'

const COMES_BACK_MS_MAX = 90_000
const FLOOD_CLIENTS = 16
const SAMPLES_PER_POST = 500

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

/**
 * Requests for pages, logins and files without end; derived samples far beyond the rate; readers of the tap that read nothing. On
 * this machine alone, for so long. @returns how many requests were made, and how many derived readings the gateway took
 */
export async function floodSiteView(
  { urls, siteViewFolder }: Pipeline,
  durationMs: number,
  signal: AbortSignal,
): Promise<{ requests: number; derived: number; refused: number }> {
  const token = (await readFile(join(siteViewFolder, 'token'), 'utf8')).trim()
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const untilMs = systemClock.monotonicMs() + durationMs
  const counts = { requests: 0, derived: 0, refused: 0 }
  const goesOn = () => systemClock.monotonicMs() < untilMs && !signal.aborted
  const request = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(path, { redirect: 'manual', ...init, signal: AbortSignal.timeout(20_000) }).catch(
      () => undefined,
    )
    await response?.arrayBuffer().catch(() => undefined)
    counts.requests += 1
    return response?.status ?? 0
  }
  const pages = [
    '/dashboard/site',
    '/editor/flows',
    '/dashboard/socket.io/?EIO=4&transport=polling',
    '/login',
    '/healthz',
  ]
  const ask = async (client: number) => {
    for (let i = client; goesOn(); i++) {
      const page = pages[i % pages.length] as string
      const login = { method: 'POST', body: new URLSearchParams({ user: 'admin', password: `guess ${i}` }) }
      if ((await request(`${urls.siteView}${page}`, page === '/login' ? login : {})) === 0) await systemClock.sleep(50)
    }
  }
  const derive = async () => {
    while (goesOn()) {
      const timeMs = systemClock.wallMs()
      const samples = Array.from({ length: SAMPLES_PER_POST }, (_, k) => ({
        device: `flood-${k % 5}`,
        kind: 'host',
        timeMs: timeMs + k,
        fields: { cpu_percent: 20 + (k % 7) },
      }))
      const status = await request(`${urls.siteTap}/samples`, {
        method: 'POST',
        headers,
        body: JSON.stringify({ samples }),
      })
      if (status === 204) counts.derived += SAMPLES_PER_POST
      else counts.refused += SAMPLES_PER_POST
    }
  }
  const { hostname, port } = new URL(urls.siteTap as string)
  const idle = Array.from({ length: 2 }, () => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.pause()
    socket.write(`GET /batches HTTP/1.1\r\nhost: tap\r\nauthorization: Bearer ${token}\r\n\r\n`)
    return socket
  })
  try {
    await Promise.all([...Array.from({ length: FLOOD_CLIENTS }, (_, client) => ask(client)), derive(), derive()])
  } finally {
    for (const socket of idle) socket.destroy()
  }
  return counts
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
