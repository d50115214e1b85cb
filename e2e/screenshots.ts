/**
 * `npm run screenshots`: the images of docs/images, of a pipeline that looks lived in. Every dashboard, dark; some also light, and as a
 * phone shows them. They are to be looked at before they are committed.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { createPipeline, repositoryFolder } from '@tributary/stack'
import { DESKTOP, PHONE } from '@tributary/stack/testing'
import type { Page } from 'playwright-core'
import { dashboardsOf, openDashboard, startBrowser } from './harness/browse.ts'
import { givePast, sayWhatOneMakesOfIt, untilDrained } from './harness/lived-pipeline.ts'

const SCENARIO = join(repositoryFolder, 'e2e', 'scenarios', 'lived.yaml')
const DAY_MS = 86_400_000
const PAST_DAYS = 14
/** Readings of all devices together in the past, a second. */
const PAST_RATE = 4
/** Longer than the range of most pictures: how the past was drained is not in them. */
const LIVE_MS = 420_000
/** The page has been told of everything once. */
const SITE_VIEW_MS = 5_000
/** A page is as long as its panels, up to this. */
const HEIGHT_PX_MAX = 4_000
/** Where five minutes show too little. */
const rangeOf = (uid: string): string => (/compare/.test(uid) ? 'now-14d' : /alerts/.test(uid) ? 'now-15m' : 'now-5m')
const ALSO_LIGHT_AND_PHONE = ['tributary-fleet', 'tributary-climate']

const folder = process.argv[2] ?? join(repositoryFolder, 'docs', 'images')
const say = (text: string) => process.stderr.write(`${text}\n`)

const dataFolder = await mkdtemp(join(tmpdir(), 'tributary-screenshots-'))
const pipeline = await createPipeline({
  dataFolder,
  scenarioFile: SCENARIO,
  seed: 3,
  viewerPort: 0,
  siteView: true,
  say,
})
const stopping = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
try {
  say(`Filling the agents' spools with ${PAST_DAYS} days …`)
  await givePast(pipeline, dataFolder, SCENARIO, PAST_DAYS * DAY_MS, PAST_RATE)
  await pipeline.start(stopping.signal)
  say('Draining them into InfluxDB …')
  await untilDrained(pipeline)
  say('Seven minutes of live readings, with what goes wrong …')
  await sayWhatOneMakesOfIt(pipeline)
  await systemClock.sleep(LIVE_MS, stopping.signal)
  await takeAll(pipeline.urls.viewer as string)
} finally {
  await pipeline.stop()
  await rm(dataFolder, { recursive: true, force: true })
}

async function takeAll(viewer: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const browser = await startBrowser()
  const { page } = browser
  const take = async (uid: string, name: string, theme: string, size: typeof DESKTOP) => {
    await page.setViewportSize(size)
    await openDashboard(page, viewer, uid, `theme=${theme}&from=${rangeOf(uid)}&to=now`)
    // Panels below the screen are drawn when they come into sight.
    const height = Number(await page.evaluate('document.documentElement.scrollHeight'))
    await page.setViewportSize({ width: size.width, height: Math.min(Math.max(height, size.height), HEIGHT_PX_MAX) })
    await openDashboard(page, viewer, uid, `theme=${theme}&from=${rangeOf(uid)}&to=now`)
    await page.screenshot({ path: join(folder, `${name}.png`) })
    say(`${join(folder, name)}.png`)
    for (const complaint of browser.complaints()) say(`  the console says: ${complaint}`)
  }
  try {
    for (const { uid } of await dashboardsOf(viewer)) {
      const name = uid.replace(/^tributary-/, '')
      await take(uid, name, 'dark', DESKTOP)
      if (!ALSO_LIGHT_AND_PHONE.includes(uid)) continue
      await take(uid, `${name}-light`, 'light', DESKTOP)
      await take(uid, `${name}-phone`, 'dark', PHONE)
    }
    await page.setViewportSize(DESKTOP)
    await takeSiteView(page)
  } finally {
    await browser.stop()
  }
}

async function takeSiteView(page: Page): Promise<void> {
  const log = await readFile(pipeline.gateway.logFile, 'utf8')
  await page.goto(pipeline.urls.siteView as string)
  await page.getByLabel('Password').fill(/log in as admin with the password (\S+)/.exec(log)?.[1] as string)
  await page.getByRole('button', { name: 'Log in' }).click()
  await page.getByRole('rowheader').first().waitFor()
  await systemClock.sleep(SITE_VIEW_MS)
  await page.screenshot({ path: join(folder, 'site-view.png'), fullPage: true })
  say(join(folder, 'site-view.png'))
}
