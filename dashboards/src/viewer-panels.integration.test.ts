/** Each type of panel in a real Chromium, from dashboards that use everything that the viewer draws. */

import { DESKTOP, PHONE } from '@tributary/stack/testing'
import type { Locator } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openViewerPage, type ViewerPage, WAIT } from './browser-harness.ts'
import { exampleDashboards } from './example-dashboards.ts'
import { exampleValue } from './example-lines.ts'
import { schemeColours } from './rendering/colour-scales.ts'
import { unknownFeatures } from './rendering/features.ts'

let view: ViewerPage
beforeAll(async () => {
  view = await openViewerPage(exampleDashboards)
}, 180_000)
afterAll(() => view?.close())

const legendNames = (title: string) => view.panel(title).locator('.legend button span').allTextContents()
/** Cells of a table, row by row. */
const rowsOf = async (title: string) =>
  Promise.all((await view.panel(title).locator('tbody tr').all()).map((row) => row.locator('td').allTextContents()))
const styleOf = (found: Locator, property: string): Promise<string | undefined> =>
  found.evaluate((e, name) => {
    const window = globalThis as unknown as { getComputedStyle(e: unknown): Readonly<Record<string, string>> }
    return window.getComputedStyle(e)[name]
  }, property)
/** The colour of a canvas at a place, both from 0 to 1 of the plotting area. */
const colourAt = (title: string, left: number, top: number): Promise<string> =>
  view
    .panel(title)
    .locator('.plot')
    .evaluate(
      (plot, [x, y]) => {
        const [canvas, over] = [plot.querySelector('canvas'), plot.querySelector('.u-over')]
        const context = canvas?.getContext('2d')
        if (!canvas || !over || !context) throw new Error('no chart')
        const outer = canvas.getBoundingClientRect()
        const inner = over.getBoundingClientRect()
        const scale = canvas.width / outer.width
        const at = [inner.left - outer.left + inner.width * x, inner.top - outer.top + inner.height * y]
        const [red, green, blue] = context.getImageData((at[0] as number) * scale, (at[1] as number) * scale, 1, 1).data
        return `#${[red, green, blue].map((part) => (part ?? 0).toString(16).padStart(2, '0')).join('')}`
      },
      [left, top] as const,
    )

it('the dashboards of this test use nothing that the viewer lacks', () => {
  for (const dashboard of exampleDashboards) expect(unknownFeatures(dashboard), dashboard.title).toEqual([])
})

describe('every panel', () => {
  it.each([
    ['dark', 'theme=dark', DESKTOP],
    ['light', 'theme=light', DESKTOP],
    ['on a phone', 'theme=dark', PHONE],
  ])('is drawn, %s: nothing overflows, the console is quiet', async (_, query, size) => {
    for (const { uid, title } of exampleDashboards) {
      await view.open(uid, { query, size })
      await view.drawAll()
      const others = view.page.locator('.panel:not([data-state=ready])')
      expect(await others.allTextContents(), `${title}: panels without data`).toEqual([])
      expect(await view.page.evaluate('document.documentElement.scrollWidth'), title).toBeLessThanOrEqual(size.width)
      expect(await view.cutTexts(), `${title}: cut`).toEqual([])
      expect(view.complaints, title).toEqual([])
      if (process.env['SCREENSHOTS'])
        await view.page.screenshot({
          path: `${process.env['SCREENSHOTS']}/${uid}-${query}-${size.width}.png`,
          fullPage: true,
        })
    }
  })
})

describe('charts', () => {
  it('a band, two axes, a dashed line, and a legend as a table', async () => {
    await view.open('example-charts')
    expect(await legendNames('Band')).toEqual(['Temperature', 'Humidity'])
    const heads = await view.panel('Band').locator('.legend th').allTextContents()
    expect(heads).toEqual(['Name', 'Last *', 'Min', 'Max', 'Mean'])
    const [, last, min, max, mean] = await view
      .panel('Band')
      .locator('.legend tbody tr')
      .first()
      .locator('td')
      .allTextContents()
    const number = (text: string | undefined) => Number.parseFloat(text ?? '')
    expect(last).toMatch(/^\d+\.\d\d °C$/)
    expect(number(min)).toBeLessThanOrEqual(number(mean))
    expect(number(mean)).toBeLessThanOrEqual(number(max))
    expect(await view.panel('Band').locator('.u-axis').count()).toBe(3)
    await view
      .panel('Band')
      .locator('.u-over')
      .hover({ position: { x: 200, y: 60 } })
    const lines = await view.panel('Band').locator('.tooltip .line span').allTextContents()
    expect(lines.slice(0, 4)).toEqual(['Temperature', 'upper', 'lower', 'Humidity'])
  })

  it('stacked bars say what each is, not their sum', async () => {
    await view.open('example-charts')
    await view
      .panel('Stacked bars')
      .locator('.u-over')
      .hover({ position: { x: 250, y: 60 } })
    const values = await view.panel('Stacked bars').locator('.tooltip .line b').allTextContents()
    // The second agent produces twice as much as the first one, and the tooltip puts the larger first.
    expect(Number(values[0]) / Number(values[1])).toBeCloseTo(2, 0)
    expect(await view.panel('Stacked bars').locator('.tooltip .line span').allTextContents()).toEqual([
      'agent-2',
      'agent-1',
    ])
    expect(await view.panel('Stacked bars').locator('.legend small').allTextContents()).toEqual([
      'Total',
      'Max',
      'Total',
      'Max',
    ])
  })

  it('points have no lines and one line in the tooltip; a hidden axis takes no room', async () => {
    await view.open('example-charts')
    await view
      .panel('Points')
      .locator('.u-over')
      .hover({ position: { x: 150, y: 40 } })
    expect(await view.panel('Points').locator('.tooltip .line').count()).toBe(1)
    expect(await view.panel('Points').locator('.u-axis').count()).toBe(1)
  })

  it('steps are named by their labels, with fixed ends and without a tooltip', async () => {
    await view.open('example-charts')
    expect(await legendNames('Steps')).toEqual(['Speed of pump-1', 'Speed of pump-2'])
    await view
      .panel('Steps')
      .locator('.u-over')
      .hover({ position: { x: 150, y: 40 } })
    expect(await view.panel('Steps').locator('.tooltip').isHidden()).toBe(true)
  })

  it('the value in a tooltip is the one that InfluxDB has', async () => {
    await view.open('example-charts')
    await view
      .panel('Points')
      .locator('.u-over')
      .hover({ position: { x: 150, y: 40 } })
    const [name, shown, when] = await Promise.all(
      ['.line span', '.line b', '.when'].map((part) =>
        view.panel('Points').locator(`.tooltip ${part}`).first().textContent(),
      ),
    )
    const from = new Date((when ?? '').replace(' ', 'T')).getTime()
    const query = `SELECT mean("pressure_hpa") FROM "climate" WHERE "device" = '${name}' AND time >= ${from}ms AND time < ${from + 5_000}ms`
    const answer = await fetch(new URL(`/api/query?q=${encodeURIComponent(query)}`, view.viewer.url))
    const { results } = (await answer.json()) as { results: { series: { values: number[][] }[] }[] }
    expect(Number.parseFloat(shown ?? '')).toBeCloseTo(results[0]?.series[0]?.values[0]?.[1] as number, 1)
  })

  it('states: nothing heard is a state with a name', async () => {
    await view.open('example-charts')
    const over = view.panel('States').locator('.u-over')
    const box = await over.boundingBox()
    if (!box) throw new Error('the chart has no box')
    // The second thermometer was silent from 460 s to 400 s ago; the range is 900 s.
    const stateAt = async (ageMs: number) => {
      await over.hover({
        position: {
          x:
            box.width *
            (1 - (ageMs + ((await view.page.evaluate('Date.now()')) as number) - view.influx.nowMs) / 900_000),
          y: box.height * 0.75,
        },
      })
      return view.panel('States').locator('.tooltip .line').first().textContent()
    }
    expect(await stateAt(430_000)).toBe('thermometer-2silent')
    expect(await stateAt(300_000)).toBe('thermometer-2live')
    expect((await view.panel('States').locator('.legend .item').allTextContents()).sort()).toEqual(['live', 'silent'])
  })

  it.each(['dark', 'light'] as const)('a heat map has the colour of its value, %s', async (theme) => {
    // From minute to minute, so that its middle is the middle of a cell.
    const fromMs = Math.floor(view.influx.nowMs / 60_000) * 60_000 - 900_000
    await view.open('example-charts', { query: `theme=${theme}&from=${fromMs}&to=${fromMs + 900_000}` })
    await view.panel('Heat').scrollIntoViewIfNeeded()
    await expect.poll(() => view.panel('Heat').getAttribute('data-state'), WAIT).toBe('ready')
    const over = view.panel('Heat').locator('.u-over')
    const box = await over.boundingBox()
    if (!box) throw new Error('the heat map has no box')
    await over.hover({ position: { x: box.width * 0.5, y: box.height * 0.75 } })
    const tooltip = view.panel('Heat').locator('.tooltip')
    const [name, shown, when] = await Promise.all(
      ['.line span', '.line b', '.line:nth-child(3) b'].map((part) => tooltip.locator(part).first().textContent()),
    )
    // The first series stands at the bottom.
    expect(name).toBe('thermometer-1')
    const untilMs = new Date((when ?? '').replace(' ', 'T')).getTime()
    const value = exampleValue('climate', 'thermometer-1', 'temperature_c', untilMs - 60_000)
    expect(Number.parseFloat(shown ?? '')).toBeCloseTo(value, 1)
    const colours = schemeColours('YlGnBu', { theme, reverse: false, steps: 64 })
    expect(await colourAt('Heat', 0.5, 0.75)).toBe(colours[Math.round(((value - 18) / 8) * 63)])
    expect(await view.panel('Heat').locator('.scale span').allTextContents()).toEqual(['18.0 °C', '26.0 °C'])
  })
})

describe('tables and single values', () => {
  it('several queries make one row for what they agree on; what is missing has a word', async () => {
    await view.open('example-tables')
    expect(await view.panel('Merged').locator('th').allTextContents()).toEqual(['Agent', 'Produced', 'Stored', 'Shed'])
    const rows = await rowsOf('Merged')
    expect(rows.map(([agent]) => agent)).toEqual(['agent-2', 'agent-1'])
    expect(rows.map((row) => row[3])).toEqual(['1\u202f200', 'nothing'])
    const widths = await view
      .panel('Merged')
      .locator('.bar .filled')
      .evaluateAll((all) => all.map((e) => e.style.width))
    expect(widths).toEqual(['100%', '50%'])
    const background = view.panel('Merged').locator('tbody tr:first-child td:nth-child(3)')
    expect(await styleOf(background, 'backgroundColor')).toBe('rgb(31, 96, 196)')
    expect(await styleOf(background, 'color')).toBe('rgb(255, 255, 255)')
  })

  it('series are joined by time, newest first', async () => {
    await view.open('example-tables')
    expect(await view.panel('Joined').locator('th').allTextContents()).toEqual(['Time', 'one', 'two'])
    const times = (await rowsOf('Joined')).map(([time]) => time as string)
    expect(times.length).toBeGreaterThan(10)
    expect(times).toEqual([...times].sort().reverse())
  })

  it('a tile a series, in colour, that leads somewhere', async () => {
    await view.open('example-tables')
    const tiles = view.panel('Tiles').locator('a.tile')
    expect(await tiles.locator('.name').allTextContents()).toEqual(['tank-1', 'tank-2'])
    expect(await tiles.first().locator('strong').textContent()).toMatch(/^\d+\.\d%$/)
    expect(await tiles.first().getAttribute('href')).toBe('/d/example-variables?var-device=tank-1')
    expect(await styleOf(tiles.first(), 'backgroundColor')).toBe('rgb(55, 135, 45)')
    const link = view.panel('Tiles').getByRole('link', { name: 'Runbook' })
    expect(await link.getAttribute('href')).toBe('https://tributary.example/runbook?from=now-15m&to=now')
    expect(await link.getAttribute('target')).toBe('_blank')
  })

  it.each(['gradient', 'lcd', 'basic'])('bars, %s, as long as their values', async (mode) => {
    await view.open('example-tables')
    const lines = view.panel(`Bars ${mode}`).locator('.bars .line')
    expect(await lines.locator('.name').allTextContents()).toEqual(['tank-1', 'tank-2'])
    for (const line of await lines.all()) {
      const value = Number.parseFloat((await line.locator('b').textContent()) ?? '')
      const width = await line.locator('.filled').evaluate((e) => e.style.width)
      expect(Math.abs(Number.parseFloat(width) - value)).toBeLessThan(1)
    }
  })
})
