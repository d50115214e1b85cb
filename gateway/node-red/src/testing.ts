/** A gateway with its tap in this process, and beside it a site view as a process of its own. For tests only. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gatewayConfigText, startGateway, startNats } from '@tributary/gateway/testing'
import { BATCH_FORMAT_VERSION, encodeBatch } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { answers, createManagedProcess, freePort, type ManagedProcess, tributaryProgram } from '@tributary/stack'
import { launchChromium } from '@tributary/stack/testing'
import type { BrowserContext } from 'playwright-core'
import { parse, stringify } from 'yaml'

export interface Site {
  readonly folder: string
  readonly gateway: Awaited<ReturnType<typeof startGateway>>
  readonly natsUrl: string
  readonly process: ManagedProcess
  readonly url: string
  /** The one that was made up and printed. */
  readonly password: string
  stop(): Promise<void>
}

/** @param flows instead of the shipped ones */
export async function startSite({ flows }: { flows?: readonly object[] } = {}): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-site-view-'))
  const nats = await startNats(folder)
  const [port, tapPort] = [await freePort(), await freePort()]
  const options = { folder, natsUrl: nats.url, agents: ['agent-1'] }
  const gateway = await startGateway({ ...options, sitePort: tapPort })
  const file = join(folder, 'gateway.yaml')
  const section = { listen: `127.0.0.1:${port}`, tap: `127.0.0.1:${tapPort}` }
  await writeFile(file, stringify({ ...parse(gatewayConfigText(options)), site_view: section }))
  if (flows) await writeFile(join(folder, 'spool-site-view', 'flows.json'), JSON.stringify(flows))
  const url = `http://127.0.0.1:${port}`
  const siteView = createManagedProcess({
    name: 'site view',
    program: process.execPath,
    arguments: [tributaryProgram, 'site-view', '--config', file],
    logFile: join(folder, 'site-view.log'),
    isReady: () => answers(`${url}/healthz`),
  })
  const stop = async () => {
    await siteView.stop()
    await gateway.end()
    await nats.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await siteView.start()
    return {
      folder,
      gateway,
      natsUrl: nats.url,
      process: siteView,
      url,
      password: await printedPassword(siteView.logFile),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** @throws when none was printed */
export async function printedPassword(logFile: string): Promise<string> {
  const password = /log in as admin with the password (\S+)/.exec(await readFile(logFile, 'utf8'))?.[1]
  if (!password) throw new Error(`no password was printed: ${await readFile(logFile, 'utf8')}`)
  return password
}

/** @returns the cookie of a session; undefined when the password is wrong */
export async function logIn(url: string, password: string): Promise<string | undefined> {
  const response = await fetch(`${url}/login`, {
    method: 'POST',
    redirect: 'manual',
    body: new URLSearchParams({ user: 'admin', password }),
  })
  await response.arrayBuffer()
  return response.status === 303 ? response.headers.get('set-cookie')?.split(';')[0] : undefined
}

export async function openBrowser(): Promise<{ context: BrowserContext; close: () => Promise<void> }> {
  const profile = await mkdtemp(join(tmpdir(), 'tributary-chromium-'))
  const context = await launchChromium(profile)
  return {
    context,
    async close() {
      await context.close()
      await rm(profile, { recursive: true, force: true })
    },
  }
}

const EPOCH = '00112233445566aa'

/** A sample of `room-1` now, as agent-1 would send it. */
export function climateBatch(sequence: number, fields: Readonly<Record<string, number>>, device = 'room-1'): Buffer {
  const nowMs = systemClock.wallMs()
  const readingCount = Object.keys(fields).length
  return Buffer.from(
    encodeBatch({
      header: {
        formatVersion: BATCH_FORMAT_VERSION,
        agent: 'agent-1',
        epoch: EPOCH,
        sequence,
        lane: 'live',
        createdAtMs: nowMs,
        completeThroughMs: nowMs,
        bootId: 'boot-1',
        clockQuality: 'trusted',
        sampleCount: 1,
        readingCount,
        readingsTotal: readingCount * sequence,
        backlogBatches: 0,
        backlogBytes: 0,
        drainSeconds: 0,
        monotonicMs: 0,
      },
      blocks: [
        {
          device,
          kind: 'climate',
          timesMs: Float64Array.of(nowMs),
          columns: Object.entries(fields).map(([field, value]) => ({
            field,
            present: null,
            type: 'number' as const,
            values: Float64Array.of(value),
          })),
        },
      ],
      deadLetters: [],
      tombstones: [],
      rollups: [],
    }),
  )
}

/** Polls until the condition holds. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeoutMs = 20_000,
): Promise<void> {
  const untilMs = systemClock.monotonicMs() + timeoutMs
  while (!(await condition())) {
    if (systemClock.monotonicMs() > untilMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await systemClock.sleep(100)
  }
}
