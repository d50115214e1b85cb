/** Refreshing, waiting, failing, reaching everything by keyboard, in a real Chromium. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openViewerPage, type ViewerPage, WAIT } from './browser-harness.ts'
import { exampleDashboards } from './example-dashboards.ts'

let view: ViewerPage
beforeAll(async () => {
  view = await openViewerPage(exampleDashboards)
}, 180_000)
afterAll(() => view?.close())

/** Counts, from now on, in the page: layout that shifted, canvases that came and went, panels that were not ready. */
const WATCH = `(() => {
  const seen = { shift: 0, canvases: 0, states: [] }
  window.seen = seen
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) seen.shift += entry.value
  }).observe({ type: 'layout-shift' })
  new MutationObserver((changes) => {
    for (const { type, addedNodes, removedNodes, target } of changes) {
      if (type === 'attributes') seen.states.push(target.dataset.state)
      for (const node of [...addedNodes, ...removedNodes])
        if (node.nodeName === 'CANVAS' || node.querySelector?.('canvas')) seen.canvases++
    }
  }).observe(document.querySelector('.grid'), { childList: true, subtree: true, attributeFilter: ['data-state'] })
})()`
const seen = () => view.page.evaluate('window.seen') as Promise<{ shift: number; canvases: number; states: string[] }>

describe('refreshing', () => {
  it.each(['example-charts', 'example-tables', 'example-variables'])(
    '%s: nothing moves, vanishes or is built anew',
    async (uid) => {
      await view.open(uid)
      await view.page.evaluate(WATCH)
      for (let i = 0; i < 4; i++) {
        await view.page.getByRole('button', { name: 'Refresh now' }).click()
        await view.drawn()
      }
      const { shift, canvases, states } = await seen()
      expect(canvases).toBe(0)
      expect([...new Set(states)]).toEqual(['ready'])
      expect(shift).toBeLessThan(0.01)
    },
  )

  it('keeps what it showed until the new is there', async () => {
    await view.open('example-tables')
    const before = await view.panel('Merged').locator('tbody').textContent()
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    await view.page.route('**/api/query**', async (route) => {
      await held
      await route.continue()
    })
    await view.page.getByRole('button', { name: 'Refresh now' }).click()
    await expect.poll(() => view.panel('Merged').getAttribute('aria-busy'), WAIT).toBe('true')
    expect(await view.panel('Merged').locator('tbody').textContent()).toBe(before)
    expect(await view.panel('Merged').getAttribute('data-state')).toBe('ready')
    release()
    await view.drawn()
    await view.page.unroute('**/api/query**')
    expect(await view.panel('Merged').getAttribute('aria-busy')).toBe('false')
  })

  it('keeps the focus on a link in a table', async () => {
    await view.open('example-tables')
    const link = view.panel('Merged').getByRole('link', { name: 'agent-1' })
    await link.focus()
    await view.page.keyboard.press('Shift')
    await view.page.evaluate(`document.querySelector('.refresh').click()`)
    await view.drawn()
    expect(await link.evaluate((e) => e.matches(':focus'))).toBe(true)
  })

  it('asks each question once, and takes back those that nobody waits for', async () => {
    await view.open('example-tables')
    const asked: string[] = []
    const failed: string[] = []
    view.page.on('request', (request) => asked.push(request.url()))
    view.page.on('requestfailed', (request) => failed.push(request.url()))
    await view.page.getByRole('button', { name: 'Refresh now' }).click()
    await view.drawn()
    // Tiles and three bar panels have the same query: with the same interval it is the same question.
    const queries = asked.filter((url) => url.includes('/api/query'))
    expect(new Set(queries).size).toBe(queries.length)
    await view.page.route('**/api/query**', () => undefined)
    await view.page.getByRole('button', { name: 'Refresh now' }).click()
    await expect.poll(() => asked.length, WAIT).toBeGreaterThan(queries.length)
    await view.page.getByRole('button', { name: 'Refresh now' }).click()
    await expect.poll(() => failed.length, WAIT).toBeGreaterThan(0)
    await view.page.unroute('**/api/query**')
  })

  it('does not ask for what is out of sight, and takes it back when it is scrolled past', async () => {
    await view.open('example-charts', { size: { width: 390, height: 500 } })
    const asked: string[] = []
    const failed: string[] = []
    view.page.on('request', (request) => asked.push(decodeURIComponent(request.url())))
    view.page.on('requestfailed', (request) => failed.push(decodeURIComponent(request.url())))
    const isOfHeat = (url: string) => url.includes('climate_1m')
    await view.page.getByRole('button', { name: 'Refresh now' }).click()
    await view.drawn()
    expect(asked.some(isOfHeat)).toBe(false)
    await view.page.route('**climate_1m**', () => undefined)
    await view.panel('Heat').scrollIntoViewIfNeeded()
    await expect.poll(() => asked.some(isOfHeat), WAIT).toBe(true)
    await view.page.evaluate('scrollTo(0, 0)')
    await expect.poll(() => failed.some(isOfHeat), WAIT).toBe(true)
    await view.page.unroute('**climate_1m**')
    await view.panel('Heat').scrollIntoViewIfNeeded()
    await expect.poll(() => view.panel('Heat').getAttribute('data-state'), WAIT).toBe('ready')
  })
})

describe('waiting and failing', () => {
  it('says that it loads, then why it cannot, and comes back', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    await view.page.route('**/api/query**', async (route) => {
      await held
      await route.fulfill({ status: 504, json: { error: 'no answer within 20 s; choose a shorter time range' } })
    })
    await view.page.setViewportSize({ width: 1440, height: 900 })
    await view.page.goto(`${view.viewer.url}d/example-charts?refresh=`)
    await expect.poll(() => view.panel('Band').locator('.message').textContent(), WAIT).toBe('Loading')
    release()
    await expect
      .poll(() => view.panel('Band').locator('.message').textContent(), WAIT)
      .toBe('no answer within 20 s; choose a shorter time range')
    await view.page.unroute('**/api/query**')
    await view.page.getByRole('button', { name: 'Refresh now' }).click()
    await expect.poll(() => view.panel('Band').getAttribute('data-state'), WAIT).toBe('ready')
  })

  it('says why there is nothing: not yet, not there, not then', async () => {
    const tomorrowMs = view.influx.nowMs + 86_400_000
    await view.open('example-charts', { query: `from=${tomorrowMs}&to=${tomorrowMs + 60_000}` })
    expect(await view.panel('Points').locator('.message').textContent()).toBe('This time range is still to come')
    await view.open('example-charts', { query: 'from=1700000000000&to=1700000600000' })
    expect(await view.panel('Points').locator('.message').textContent()).toMatch(/^No data from 2023-11-1\d .+ to /)
    await view.open('example-variables', { query: 'var-device=thermometer-9' })
    await expect
      .poll(() => view.panel('thermometer-9').locator('.message').textContent(), WAIT)
      .toMatch(/ for thermometer-9$/)
    expect(view.complaints).toEqual([])
  })
})

describe('by keyboard', () => {
  it('everything that can be used is reached in reading order, and its focus is seen', async () => {
    await view.open('example-tables')
    const reached: string[] = []
    const unseen: string[] = []
    for (let i = 0; i < 60; i++) {
      await view.page.keyboard.press('Tab')
      const { name, outline } = (await view.page.evaluate(`(() => {
        const e = document.activeElement
        if (e === document.body) return { name: '', outline: true }
        const { outlineStyle, outlineWidth } = getComputedStyle(e)
        return { name: e.getAttribute('aria-label') || e.title || e.textContent, outline: outlineStyle !== 'none' && outlineWidth !== '0px' }
      })()`)) as { name: string; outline: boolean }
      if (name === '' || name === reached[0]) break
      reached.push(name)
      if (!outline) unseen.push(name)
    }
    const wanted = [
      'Time range: Last 15 minutes',
      'Zoom out',
      'Refresh now',
      'Refresh every',
      'Agent',
      'agent-2',
      'Runbook',
      'Bars basic',
    ]
    const places = wanted.map((name) => reached.findIndex((r) => r === name || (name === 'agent-2' && r === 'Open')))
    expect(
      places.every((place) => place >= 0),
      `${wanted} in ${reached}`,
    ).toBe(true)
    expect(places).toEqual([...places].sort((a, b) => a - b))
    expect(unseen).toEqual([])
  })

  it('a chart is read point by point; its neighbours follow; Escape leaves', async () => {
    await view.open('example-charts')
    await view.panel('Points').locator('.chart').focus()
    await view.page.keyboard.press('Home')
    const when = () => view.panel('Points').locator('.tooltip .when').first().textContent()
    const first = await when()
    await view.page.keyboard.press('ArrowRight')
    expect(Date.parse((await when()) ?? '') - Date.parse(first ?? '')).toBe(5_000)
    await view.page.keyboard.press('Shift+ArrowRight')
    expect(Date.parse((await when()) ?? '') - Date.parse(first ?? '')).toBe(55_000)
    for (const other of ['Band', 'States'])
      expect(
        await view
          .panel(other)
          .locator('.u-cursor-x')
          .evaluate((e) => e.style.transform),
      ).toMatch(/translate\(\d/)
    await view.page.keyboard.press('Escape')
    expect(await view.panel('Points').locator('.tooltip').isHidden()).toBe(true)
  })
})
