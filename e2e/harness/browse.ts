/** A real Chromium on a page of ours, and what its console complains of. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launchChromium } from '@tributary/stack/testing'
import type { Page } from 'playwright-core'
import { until } from './run-tributary.ts'

const WAIT = { timeout: 30_000 }

export interface Browser {
  readonly page: Page
  /** What the console said since the last page was opened: errors and warnings. */
  complaints(): readonly string[]
  stop(): Promise<void>
}

export interface PanelState {
  readonly title: string
  /** `ready`, `loading`, `empty` or `error`. */
  readonly state: string
  readonly text: string
}

export async function startBrowser(): Promise<Browser> {
  const profile = await mkdtemp(join(tmpdir(), 'tributary-chromium-'))
  const context = await launchChromium(profile)
  const page = context.pages()[0] ?? (await context.newPage())
  let complaints: string[] = []
  page.on('framenavigated', (frame) => {
    if (frame === page.mainFrame()) complaints = []
  })
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  return {
    page,
    complaints: () => complaints,
    async stop() {
      await context.close()
      await rm(profile, { recursive: true, force: true })
    },
  }
}

/** Opens a dashboard of the viewer that does not refresh by itself, and waits until every panel has been drawn once. */
export async function openDashboard(page: Page, viewerUrl: string, uid: string, query: string): Promise<PanelState[]> {
  await page.goto(new URL(`/d/${uid}?refresh=&${query}`, viewerUrl).href)
  await page.locator('.panel').first().waitFor(WAIT)
  // What is scrolled past is not asked for: each must be waited for.
  for (const panel of await page.locator('.panel').all()) {
    await panel.scrollIntoViewIfNeeded()
    await until(
      async () => (await panel.getAttribute('data-state')) !== 'loading',
      `a panel of ${uid} is drawn: ${(await panel.textContent())?.slice(0, 60)}`,
    )
  }
  await until(async () => (await page.locator('.refresh.busy').count()) === 0, `${uid} is drawn`)
  await page.evaluate('scrollTo(0, 0)')
  const panels = await page.locator('.panel').all()
  return Promise.all(
    panels.map(async (panel) => ({
      title: (await panel.getByRole('heading').first().textContent()) ?? '',
      state: (await panel.getAttribute('data-state')) ?? '',
      text: (await panel.textContent()) ?? '',
    })),
  )
}

export const panelTitles = (page: Page): Promise<string[]> =>
  page.locator('.panel').getByRole('heading').allTextContents()

export async function dashboardsOf(viewerUrl: string): Promise<{ uid: string; title: string }[]> {
  return (await fetch(new URL('/api/dashboards', viewerUrl))).json() as Promise<{ uid: string; title: string }[]>
}
