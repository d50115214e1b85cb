import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSiteViewProcess, type SiteViewProcess } from './site-view-process.ts'
import { until } from './testing.ts'

let folder: string
let started: SiteViewProcess | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-site-'))
})
afterEach(async () => {
  await started?.stop(AbortSignal.timeout(10_000))
  started = undefined
  await rm(folder, { recursive: true, force: true })
})

/** Runs a few lines of JavaScript as the site view. */
async function start(code: string, backoff = { firstMs: 20, maxMs: 80 }): Promise<SiteViewProcess> {
  const file = join(folder, 'child.cjs')
  await writeFile(file, code)
  started = createSiteViewProcess(
    { program: process.execPath, arguments: [file] },
    {
      clock: systemClock,
      log: createLogger('gateway', 'silent'),
      metrics: createMetrics('gateway'),
      backoff,
    },
  )
  await started.start(AbortSignal.timeout(5_000))
  return started
}
const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('it is started again when it is killed, later and later when it keeps ending', async () => {
  const siteView = await start(`setInterval(() => undefined, 1000)`)
  const first = siteView.pid as number
  process.kill(first, 'SIGKILL')
  await until('another runs', () => siteView.pid !== undefined && siteView.pid !== first)
  expect(siteView.restarts).toBe(1)
  await siteView.stop(AbortSignal.timeout(5_000))
  const ill = await start(`process.exit(1)`)
  const startedMs = systemClock.monotonicMs()
  await until('it was started four times more', () => ill.restarts >= 4)
  expect(systemClock.monotonicMs() - startedMs, 'with pauses').toBeGreaterThan(60)
})

test('one that says that a person must mend something is tried again late', async () => {
  const siteView = await start(`process.exit(2)`, { firstMs: 1, maxMs: 1_500 })
  await until('it ended', () => siteView.restarts === 1)
  const startedMs = systemClock.monotonicMs()
  await until('it was tried again', () => siteView.restarts === 2)
  expect(systemClock.monotonicMs() - startedMs).toBeGreaterThan(1_400)
})

test('it has the lowest priority, goes first when memory runs out, and cannot speak for us to systemd', async () => {
  const told = join(folder, 'told')
  process.env['NOTIFY_SOCKET'] = '/nowhere'
  const siteView = await start(
    `require('fs').writeFileSync(${JSON.stringify(told)}, String(process.env.NOTIFY_SOCKET)); setInterval(() => undefined, 1000)`,
  ).finally(() => {
    delete process.env['NOTIFY_SOCKET']
  })
  const of = (file: string) => readFile(`/proc/${siteView.pid}/${file}`, 'utf8').catch(() => '')
  await until('memory', async () => (await of('oom_score_adj')).trim() === '1000')
  expect(Number((await of('stat')).replace(/^.*\) /, '').split(' ')[16]), 'nice').toBe(19)
  await until('it told', async () => (await readFile(told, 'utf8').catch(() => '')) === 'undefined')
})

test('one that does not listen to SIGTERM is ended all the same, and none is left', async () => {
  const siteView = await start(`process.on('SIGTERM', () => undefined); setInterval(() => undefined, 1000)`)
  const pid = siteView.pid as number
  await systemClock.sleep(300)
  await siteView.stop(AbortSignal.timeout(10_000))
  expect(isAlive(pid)).toBe(false)
}, 20_000)

test('a program that is not there is tried again, and said', async () => {
  started = createSiteViewProcess(
    { program: join(folder, 'nothing'), arguments: [] },
    {
      clock: systemClock,
      log: createLogger('gateway', 'silent'),
      metrics: createMetrics('gateway'),
      backoff: { firstMs: 10, maxMs: 20 },
    },
  )
  await started.start(AbortSignal.timeout(1_000))
  await until('it was tried again', () => (started?.restarts ?? 0) >= 2)
})
