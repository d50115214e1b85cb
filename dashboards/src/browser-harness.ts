/** A viewer on example data, and a page in a real Chromium that looks at it. For tests only. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, systemClock } from '@tributary/runtime'
import { DESKTOP, launchChromium, PHONE } from '@tributary/stack/testing'
import type { BrowserContext, Locator, Page } from 'playwright-core'
import { expect } from 'vitest'
import type { DashboardJson } from './rendering/dashboard-json.ts'
import { type ExampleInflux, startExampleInflux } from './testing.ts'
import { createViewer, type Viewer } from './viewer-server.ts'

export const WAIT = { timeout: 20_000 }
const signal = new AbortController().signal

export interface ViewerPage {
  readonly page: Page
  readonly context: BrowserContext
  readonly viewer: Viewer
  readonly influx: ExampleInflux
  /** What the console complained of since the last `open`. */
  readonly complaints: readonly string[]
  /** Opens a dashboard that does not refresh by itself, and waits until all that is on the screen is drawn. */
  open(uid: string, options?: { query?: string; size?: typeof DESKTOP }): Promise<void>
  drawn(): Promise<void>
  /** Scrolls through the page, so that panels below the screen are drawn too. */
  drawAll(): Promise<void>
  /** Titles, names of values and bars, and sentences in tables, that are not whole on the screen; on a phone whole tables. */
  cutTexts(): Promise<string[]>
  panel(title: string): Locator
  attributes(selector: string, name: string): Promise<(string | null)[]>
  close(): Promise<void>
}

/** @param dashboards instead of the committed ones */
export async function openViewerPage(dashboards?: readonly DashboardJson[]): Promise<ViewerPage> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-viewer-page-'))
  const influx = await startExampleInflux(systemClock.wallMs())
  for (const dashboard of dashboards ?? [])
    await writeFile(join(folder, `${dashboard.uid}.json`), JSON.stringify(dashboard))
  const viewer = createViewer(
    {
      listen: { host: '127.0.0.1', port: 0 },
      influx: { url: influx.url, database: 'tributary', version: 1, auth: { kind: 'none' } },
      ...(dashboards ? { dashboardsFolder: folder } : {}),
    },
    { clock: systemClock, log: createLogger('viewer', 'silent') },
  )
  await viewer.start(signal)
  const context = await launchChromium(join(folder, 'profile'))
  const page = context.pages()[0] ?? (await context.newPage())
  const complaints: string[] = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  const drawn = () => expect.poll(() => page.locator('.refresh.busy').count(), WAIT).toBe(0)
  return {
    page,
    context,
    viewer,
    influx,
    complaints,
    async open(uid, { query = '', size = DESKTOP } = {}) {
      complaints.length = 0
      await page.setViewportSize(size)
      await page.goto(`${viewer.url}d/${uid}?refresh=&${query}`)
      await page.locator('.panel').first().waitFor(WAIT)
      await drawn()
    },
    drawn,
    async drawAll() {
      // What is scrolled past is not asked for: each must be waited for.
      for (const found of await page.locator('.panel').all()) {
        await found.scrollIntoViewIfNeeded()
        await expect.poll(() => found.getAttribute('data-state'), WAIT).not.toBe('loading')
      }
    },
    cutTexts: () =>
      page
        .locator('.panel h2, .bars .name, .tile .name, td.wrapped, .table tr')
        .evaluateAll(
          (all, phoneWidth) =>
            all
              .filter((e) =>
                e.matches('tr')
                  ? e.scrollWidth > phoneWidth
                  : e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight + 1,
              )
              .map((e) => e.textContent ?? ''),
          page.viewportSize()?.width === PHONE.width ? PHONE.width : Number.POSITIVE_INFINITY,
        ),
    panel: (title) => page.locator('.panel', { has: page.getByRole('heading', { name: title, exact: true }) }),
    attributes: (selector, name) =>
      page.locator(selector).evaluateAll((all, attribute) => all.map((e) => e.getAttribute(attribute)), name),
    async close() {
      await context.close()
      await viewer.stop(signal)
      await influx.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
