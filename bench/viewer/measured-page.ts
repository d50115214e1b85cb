/** A page in a real Chromium that says how long it took to draw, what it asked for, and how evenly it scrolls. */
import { join } from 'node:path'
import { launchChromium } from '@tributary/stack/testing'
import type { CDPSession, Page } from 'playwright-core'

const DRAWN_MS_MAX = 30_000
const SCROLL_PX = 30

/** In the page, from its very beginning: when the frame that shows the last of so many panels was drawn. */
const watch = (panels: number) => `
  window.drawn = new Promise((resolve, reject) => {
    new MutationObserver((_, observer) => {
      if (document.querySelectorAll('.panel[data-state=ready]').length < ${panels}) return
      observer.disconnect()
      requestAnimationFrame(() => requestAnimationFrame(resolve))
    }).observe(document, { childList: true, subtree: true, attributeFilter: ['data-state'] })
    setTimeout(() => reject(new Error('not all panels were drawn in ${DRAWN_MS_MAX / 1000} s')), ${DRAWN_MS_MAX})
  })
`
/** Down to the end and back up, a step a frame. */
const SCROLL = `new Promise((resolve) => {
  const frames = []
  let last = performance.now(), step = ${SCROLL_PX}
  const next = (now) => {
    frames.push(now - last)
    last = now
    const before = scrollY
    scrollBy(0, step)
    if (scrollY !== before) return requestAnimationFrame(next)
    if (step < 0) return resolve(frames.slice(1))
    step = -step
    requestAnimationFrame(next)
  }
  requestAnimationFrame(next)
})`

export interface Load {
  /** From the click on the link to the frame that shows the last panel. */
  readonly drawnMs: number
  readonly queries: number
  readonly pageBytes: number
  readonly answerBytes: number
}
export interface MeasuredPage {
  readonly page: Page
  load(url: string, panels: number): Promise<Load>
  /** Milliseconds between frames while scrolling through the page and back. */
  scroll(): Promise<number[]>
  /** The queries of the last load. */
  readonly asked: readonly string[]
  close(): Promise<void>
}

export async function openMeasuredPage(
  folder: string,
  viewport: { width: number; height: number },
): Promise<MeasuredPage> {
  const context = await launchChromium(join(folder, `profile-${viewport.height}`), viewport)
  const page = context.pages()[0] ?? (await context.newPage())
  const session: CDPSession = await context.newCDPSession(page)
  await session.send('Network.enable')
  const urls = new Map<string, string>()
  const bytes = new Map<string, number>()
  let asked: string[] = []
  session.on('Network.requestWillBeSent', ({ requestId, request }) => {
    urls.set(requestId, request.url)
    const { pathname, searchParams } = new URL(request.url)
    if (pathname === '/api/query') asked.push(searchParams.get('q') ?? '')
  })
  session.on(
    'Network.loadingFinished',
    ({ requestId, encodedDataLength }) => void bytes.set(requestId, encodedDataLength),
  )
  let watched = 0
  return {
    page,
    get asked() {
      return asked
    },
    async load(url, panels) {
      if (watched === 0) await page.addInitScript(watch(panels))
      watched++
      await page.goto('about:blank')
      urls.clear()
      bytes.clear()
      asked = []
      await page.goto(url)
      const drawnMs = (await page.evaluate('window.drawn')) as number
      let [pageBytes, answerBytes] = [0, 0]
      for (const [id, size] of bytes)
        if (urls.get(id)?.includes('/api/')) answerBytes += size
        else pageBytes += size
      return { drawnMs, queries: asked.length, pageBytes, answerBytes }
    },
    scroll: () => page.evaluate(SCROLL) as Promise<number[]>,
    close: () => context.close(),
  }
}
