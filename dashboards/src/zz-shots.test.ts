import { it } from 'vitest'
import { DESKTOP, openViewerPage, PHONE } from './browser-harness.ts'
it('shots', async () => {
  const view = await openViewerPage()
  try {
    for (const uid of ['tributary-alerts', 'tributary-quality'])
      for (const [name, theme, size] of [['dark', 'dark', DESKTOP], ['light', 'light', DESKTOP], ['phone', 'dark', PHONE]] as const) {
        await view.open(uid, { query: `theme=${theme}&from=now-6h&to=now`, size })
        await view.drawAll()
        const height = Number(await view.page.evaluate('document.documentElement.scrollHeight'))
        await view.page.setViewportSize({ width: size.width, height: Math.min(6000, height + 20) })
        await view.drawAll()
        await view.page.screenshot({ path: `/tmp/q-${uid}-${name}.png` })
        console.log(uid, name, await view.page.locator('.panel:not([data-state=ready])').allTextContents(), view.complaints)
      }
  } finally { await view.close() }
}, 160_000)
