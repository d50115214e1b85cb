/** Variables, repeated panels, rows, texts and links in a real Chromium. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openViewerPage, type ViewerPage, WAIT } from './browser-harness.ts'
import { exampleDashboards } from './example-dashboards.ts'

let view: ViewerPage
beforeAll(async () => {
  view = await openViewerPage(exampleDashboards)
}, 180_000)
afterAll(() => view?.close())

const headings = () => view.page.locator('.panel h2').allTextContents()
const parameters = () => new URL(view.page.url()).searchParams

describe('variables', () => {
  it('chain: what the second offers follows the first; both are in the address', async () => {
    const asked: string[] = []
    view.page.on('request', (request) => asked.push(decodeURIComponent(request.url())))
    await view.open('example-variables', { query: 'var-site=workshop' })
    expect(asked.some((url) => url.includes('"site" =~ /^workshop$/'))).toBe(true)
    await view.open('example-variables', { query: 'var-site=elsewhere' })
    await view.page.getByRole('button', { name: 'Device: All' }).click()
    expect(await view.page.getByRole('dialog').textContent()).toContain('InfluxDB knows no device yet')
  })

  it('a repeated panel stands once for each value, and follows the choice', async () => {
    await view.open('example-variables')
    const repeated = async () => (await headings()).filter((title) => title.startsWith('thermometer'))
    expect(await repeated()).toEqual(['thermometer-1', 'thermometer-2'])
    const boxes = await Promise.all(['thermometer-1', 'thermometer-2'].map((title) => view.panel(title).boundingBox()))
    expect(boxes[0]?.y).toBe(boxes[1]?.y)
    expect(boxes[0]?.width).toBeCloseTo(boxes[1]?.width ?? 0, 0)
    await expect
      .poll(() => view.panel('thermometer-2').locator('.legend button span').allTextContents(), WAIT)
      .toEqual(['thermometer-2'])
    await view.page.getByRole('button', { name: 'Device: All' }).click()
    await view.page.getByRole('checkbox', { name: 'thermometer-2' }).check()
    await expect.poll(repeated, WAIT).toEqual(['thermometer-2'])
    expect(parameters().getAll('var-device')).toEqual(['thermometer-2'])
    await view.page.keyboard.press('Escape')
    await view.page.goBack()
    await expect.poll(repeated, WAIT).toEqual(['thermometer-1', 'thermometer-2'])
  })

  it('are chosen with the arrow keys', async () => {
    await view.open('example-variables')
    await view.page.getByRole('button', { name: 'Shows: Temperature' }).focus()
    await view.page.keyboard.press('Enter')
    await view.page.keyboard.press('ArrowDown')
    await view.page.keyboard.press('Enter')
    await expect.poll(() => parameters().get('var-field'), WAIT).toBe('humidity_percent')
    await view.page.keyboard.press('Escape')
    const button = view.page.getByRole('button', { name: 'Shows: Humidity' })
    await expect.poll(() => button.evaluate((e) => e.matches(':focus')), WAIT).toBe(true)
    await expect.poll(() => view.page.locator('.prose code').textContent(), WAIT).toBe('humidity_percent')
  })

  it('written by hand: counts with Enter, Escape takes it back, an empty panel says for what', async () => {
    await view.open('example-variables')
    const field = view.page.getByRole('textbox', { name: 'At most' })
    await field.fill('7')
    await view.page.keyboard.press('Escape')
    expect(await field.inputValue()).toBe('1000')
    await field.fill('10')
    await view.page.keyboard.press('Enter')
    await expect.poll(() => parameters().get('var-limit'), WAIT).toBe('10')
    await expect
      .poll(() => view.panel('thermometer-1').locator('.message').textContent(), WAIT)
      .toMatch(/^No data from/)
    await field.fill("'")
    await view.page.keyboard.press('Enter')
    await expect.poll(() => view.panel('thermometer-1').getAttribute('data-state'), WAIT).toBe('error')
    expect(await view.panel('thermometer-1').locator('.message').textContent()).toMatch(/refused|not closed/)
  })

  it('one that is hidden is not offered', async () => {
    await view.open('example-variables')
    expect(await view.page.locator('.controls .caption').allTextContents()).toEqual([
      'Site',
      'Device',
      'Shows',
      'At most',
    ])
  })
})

describe('rows and texts', () => {
  it('close and open, by hand and by key; what is inside is asked when it is seen', async () => {
    const asked: string[] = []
    await view.open('example-variables')
    view.page.on('request', (request) => asked.push(decodeURIComponent(request.url())))
    expect(await headings()).not.toContain('Missing')
    await view.page.getByRole('button', { name: 'More' }).focus()
    await view.page.keyboard.press('Enter')
    await expect.poll(headings, WAIT).toContain('Missing')
    await expect.poll(() => asked.some((url) => url.includes('sum("missing")')), WAIT).toBe(true)
    await view.page.getByRole('button', { name: 'Account' }).click()
    await expect.poll(headings, WAIT).not.toContain('Stored')
    const places = await view.attributes('h2.row button', 'aria-expanded')
    expect(places).toEqual(['false', 'true'])
  })

  it('a text is formatted, with the variables in it', async () => {
    await view.open('example-variables', { query: 'var-device=thermometer-1' })
    const prose = view.page.locator('.prose')
    await expect
      .poll(() => prose.textContent(), WAIT)
      .toBe('thermometer-1 at workshop, see the charts:temperature_cat most 1000')
    expect(await prose.locator('strong').textContent()).toBe('thermometer-1')
    expect(await prose.locator('li').count()).toBe(2)
  })
})

describe('links', () => {
  it('keep time and variables', async () => {
    await view.open('example-variables', { query: 'var-device=thermometer-1&from=now-5m&to=now' })
    await view.page.getByRole('link', { name: 'Charts of these' }).click()
    await expect.poll(() => view.page.locator('.controls h1').textContent(), WAIT).toBe('Charts')
    expect(Object.fromEntries(parameters())).toMatchObject({
      from: 'now-5m',
      to: 'now',
      'var-device': 'thermometer-1',
      'var-site': '$__all',
    })
  })

  it('of a cell carry its row', async () => {
    await view.open('example-tables')
    await view.panel('Merged').getByRole('link', { name: 'agent-2' }).click()
    await expect.poll(() => view.page.locator('.controls h1').textContent(), WAIT).toBe('Variables')
    expect(parameters().get('var-device')).toBe('agent-2')
  })

  it('of a series are offered at the point that was clicked, and by keyboard', async () => {
    await view.open('example-charts')
    await view
      .panel('Band')
      .locator('.u-over')
      .click({ position: { x: 200, y: 60 } })
    const link = view.panel('Band').locator('.tooltip a')
    expect(await link.getAttribute('href')).toBe('/d/example-tables?var-device=&from=now-15m&to=now')
    expect(await link.evaluate((e) => e.matches(':focus'))).toBe(true)
    await view.page.keyboard.press('Escape')
    expect(await view.panel('Band').locator('.tooltip').isHidden()).toBe(true)
    await view.panel('Band').locator('.chart').focus()
    await view.page.keyboard.press('Home')
    await view.page.keyboard.press('ArrowRight')
    expect(await view.panel('Band').locator('.tooltip .line').count()).toBeGreaterThan(2)
    await view.page.keyboard.press('Enter')
    await view.page.keyboard.press('Enter')
    await expect.poll(() => view.page.locator('.controls h1').textContent(), WAIT).toBe('Tables')
  })
})
