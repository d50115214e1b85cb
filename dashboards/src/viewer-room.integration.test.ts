/** What has little room in a real Chromium: a panel's links, names of rows and of bars, marks of events among states. */

import { DESKTOP, PHONE } from '@tributary/stack/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openViewerPage, type ViewerPage, WAIT } from './browser-harness.ts'
import { exampleDashboards } from './example-dashboards.ts'
import { colourOf } from './rendering/colours.ts'

let view: ViewerPage
let page: ViewerPage['page']
beforeAll(async () => {
  view = await openViewerPage(exampleDashboards)
  page = view.page
}, 180_000)
afterAll(() => view?.close())

describe('links of a panel', () => {
  it('one is an icon beside the title, with its own title as its name and tooltip', async () => {
    await view.open('example-tables', { size: PHONE })
    const link = view.panel('Tiles').locator('header').getByRole('link', { name: 'Runbook', exact: true })
    expect(await link.getAttribute('title')).toBe('Runbook')
    expect(await link.textContent()).toBe('')
    expect((await link.boundingBox())?.width).toBeLessThan(24)
  })

  it('are offered when nothing can be drawn: then they are needed most', async () => {
    await page.route('**/api/query**', (route) => route.fulfill({ status: 502, json: { error: 'away' } }))
    await view.open('example-tables')
    expect(await view.panel('Tiles').getAttribute('data-state')).toBe('error')
    expect(await view.panel('Tiles').getByRole('link', { name: 'Runbook' }).count()).toBe(1)
    await page.unroute('**/api/query**')
  })

  const menu = () => view.panel('Long names').getByRole('button', { name: 'Links of this panel' })
  const focused = () => page.evaluate('document.activeElement.textContent')

  it('several are a menu: by keys', async () => {
    await view.open('example-tables')
    await menu().focus()
    await page.keyboard.press('Enter')
    const links = view.panel('Long names').getByRole('dialog').getByRole('link')
    expect(await links.allTextContents()).toEqual(['Runbook', 'Charts', 'Elsewhere'])
    expect(await focused()).toBe('Runbook')
    await page.keyboard.press('End')
    expect(await focused()).toBe('Elsewhere')
    await page.keyboard.press('ArrowUp')
    expect(await focused()).toBe('Charts')
    await page.keyboard.press('Escape')
    expect(await links.count()).toBe(0)
    expect(await menu().evaluate((e) => e.matches(':focus'))).toBe(true)
    await page.keyboard.press('Enter')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
    await expect.poll(() => new URL(page.url()).pathname, WAIT).toBe('/d/example-charts')
  })

  it.each([DESKTOP, PHONE])('several are a menu: by mouse, over the panels around, at $width', async (size) => {
    await view.open('example-tables', { size })
    await view.drawAll()
    await menu().click()
    const window = view.panel('Long names').getByRole('dialog')
    const box = await window.boundingBox()
    expect(box?.x).toBeGreaterThanOrEqual(0)
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(size.width)
    // A click is refused where something else lies above.
    await window.getByRole('link', { name: 'Elsewhere' }).click({ trial: true })
    await window.getByRole('link', { name: 'Charts' }).click()
    await expect.poll(() => new URL(page.url()).pathname, WAIT).toBe('/d/example-charts')
  })
})

describe('names', () => {
  it.each([DESKTOP, PHONE])(
    'of rows: each is drawn, in a third at most, whole when pointed at, at $width',
    async (size) => {
      await view.open('example-charts', { size })
      await view.drawAll()
      for (const title of ['States', 'Long names', 'Heat']) {
        const { rows, share } = await view
          .panel(title)
          .locator('.plot')
          .evaluate((plot) => {
            const canvas = plot.querySelector('canvas')
            const context = canvas?.getContext('2d')
            const axis = plot.querySelectorAll('.u-axis')[1]
            if (!canvas || !context || !axis) throw new Error('no chart')
            const outer = canvas.getBoundingClientRect()
            const scale = canvas.width / outer.width
            const inked = (name: { title: string; getBoundingClientRect(): typeof outer }) => {
              const { left, top, width, height } = name.getBoundingClientRect()
              const at = [left - outer.left, top - outer.top, width, height].map((px) => Math.round(px * scale))
              const { data } = context.getImageData(at[0] ?? 0, at[1] ?? 0, at[2] ?? 1, at[3] ?? 1)
              return { title: name.title, isDrawn: data.some((part: number) => part > 0) }
            }
            return {
              rows: [...axis.querySelectorAll('span')].map(inked),
              share: axis.getBoundingClientRect().width / outer.width,
            }
          })
        expect(rows.length, title).toBe(2)
        expect(
          rows.map(({ isDrawn }) => isDrawn),
          title,
        ).toEqual([true, true])
        for (const row of rows) expect(row.title, title).toMatch(/thermometer-\d$/)
        expect(share, title).toBeLessThan(0.35)
      }
    },
  )

  it('of bars: beside them on a desktop, above them where there is little room', async () => {
    const boxes = async (title: string) => {
      const line = view.panel(title).locator('.bars .line').first()
      const [name, bar] = await Promise.all([line.locator('.name').boundingBox(), line.locator('.bar').boundingBox()])
      if (!name || !bar) throw new Error('the bar has no box')
      return { name, bar }
    }
    await view.open('example-tables')
    const wide = await boxes('Long names')
    expect(wide.bar.x).toBeGreaterThanOrEqual(wide.name.x + wide.name.width)
    const narrow = await boxes('Bars lcd')
    expect(narrow.bar.y).toBeGreaterThanOrEqual(narrow.name.y + narrow.name.height)
    await view.open('example-tables', { size: PHONE })
    await view.drawAll()
    const phone = await boxes('Long names')
    expect(phone.bar.y).toBeGreaterThanOrEqual(phone.name.y + phone.name.height)
  })
})

it('events are marked among states too, and told when pointed at', async () => {
  const toMs = view.influx.nowMs
  const fromMs = toMs - 900_000
  const query = `SELECT "message" FROM "alert" WHERE time > ${fromMs + 60_000}ms AND time < ${toMs - 60_000}ms ORDER BY time DESC LIMIT 1`
  const answer = await fetch(new URL(`/api/query?q=${encodeURIComponent(query)}`, view.viewer.url))
  const { results } = (await answer.json()) as { results: { series: { values: [number, string][] }[] }[] }
  const [timeMs, message] = results[0]?.series[0]?.values[0] ?? [0, '']
  await view.open('example-charts', { query: `theme=dark&from=${fromMs}&to=${toMs}` })
  await view.drawAll()
  const share = (timeMs - fromMs) / (toMs - fromMs)
  const over = view.panel('Long names').locator('.u-over')
  const box = await over.boundingBox()
  if (!box) throw new Error('the chart has no box')
  await over.hover({ position: { x: box.width * share, y: box.height * 0.25 } })
  const lines = await view.panel('Long names').locator('.tooltip .line span').allTextContents()
  expect(lines.filter((line) => line.startsWith(message)).length).toBe(1)
  const isMarked = await view
    .panel('Long names')
    .locator('.plot')
    .evaluate(
      (plot, [at, colour]) => {
        const [canvas, inner] = [plot.querySelector('canvas'), plot.querySelector('.u-over')?.getBoundingClientRect()]
        const context = canvas?.getContext('2d')
        if (!canvas || !inner || !context) throw new Error('no chart')
        const outer = canvas.getBoundingClientRect()
        const scale = canvas.width / outer.width
        const [x, y] = [inner.left - outer.left + inner.width * at, inner.bottom - outer.top - 2]
        const { data } = context.getImageData(Math.round((x - 1) * scale), Math.round(y * scale), 3, 1)
        const wanted = [1, 3, 5].map((digit) => Number.parseInt(colour.slice(digit, digit + 2), 16))
        return [0, 4, 8].some((pixel) => wanted.every((part, i) => data[pixel + i] === part))
      },
      [share, colourOf('red', 'dark')] as const,
    )
  expect(isMarked).toBe(true)
})
