/** Every dashboard in a real Chromium, on data of a real influxd: drawn, without a complaint on the console, and usable. */

import { DESKTOP, PHONE } from '@tributary/stack/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openViewerPage, type ViewerPage, WAIT } from './browser-harness.ts'

let view: ViewerPage
let page: ViewerPage['page']
beforeAll(async () => {
  view = await openViewerPage()
  page = view.page
}, 180_000)
afterAll(() => view?.close())

const open: ViewerPage['open'] = (...options) => view.open(...options)
const drawAll = () => view.drawAll()
const drawn = () => view.drawn()
const panel: ViewerPage['panel'] = (title) => view.panel(title)
const attributes: ViewerPage['attributes'] = (...what) => view.attributes(...what)

describe('every dashboard', () => {
  it.each([
    ['on a desktop, dark', 'theme=dark', DESKTOP],
    ['on a desktop, light', 'theme=light', DESKTOP],
    ['on a phone', 'theme=dark', PHONE],
  ])(
    '%s: each panel shows data, nothing overflows, the console is quiet',
    async (_, query, size) => {
      const list = (await (await fetch(new URL('/api/dashboards', view.viewer.url))).json()) as {
        uid: string
        title: string
      }[]
      expect(list.length).toBeGreaterThanOrEqual(10)
      for (const { uid, title } of list) {
        await open(uid, { query, size })
        await drawAll()
        expect(await page.locator('.controls h1').textContent()).toBe(title)
        const others = page.locator('.panel:not([data-state=ready])')
        expect(await others.allTextContents(), `${title}: panels without data`).toEqual([])
        expect(await page.evaluate('document.documentElement.scrollWidth'), title).toBeLessThanOrEqual(size.width)
        for (const chart of await page.locator('.timeseries .chart').all())
          expect(await chart.getAttribute('aria-label')).not.toMatch(/no data$/)
        expect(await view.cutTexts(), `${title}: cut`).toEqual([])
        expect(view.complaints, title).toEqual([])
      }
    },
    180_000,
  )

  it('stands in one column on a phone', async () => {
    await open('tributary-climate', { size: PHONE })
    // But for single numbers, which stand two by two.
    const left = await page
      .locator('.panel:not(.stat)')
      .evaluateAll((all) => all.map((e) => e.getBoundingClientRect().left))
    expect(new Set(left).size).toBe(1)
  })

  it('follows the theme of the system, and the switch', async () => {
    await page.emulateMedia({ colorScheme: 'light' })
    await open('tributary-fleet')
    const theme = () => page.evaluate('document.documentElement.dataset.theme')
    expect(await theme()).toBe('light')
    await page.emulateMedia({ colorScheme: 'dark' })
    await expect.poll(theme, WAIT).toBe('dark')
    await page.getByRole('button', { name: 'Switch to the light theme' }).click()
    expect(await theme()).toBe('light')
    await open('tributary-account')
    expect(await theme()).toBe('light')
    expect(view.complaints).toEqual([])
  })
})

it('tables say what was noticed, who judged it, who acknowledged; what is not known is a dash', async () => {
  await open('tributary-vibration')
  await drawAll()
  const rowsOf = async (title: string) => {
    const rows = await panel(title).locator('tbody tr').all()
    return Promise.all(rows.map(async (row) => (await row.locator('td').allTextContents()).slice(1).join(' | ')))
  }
  expect((await rowsOf('Anomalies'))[0]).toMatch(/^threshold_above_7\.1 \| – \| Vib.* \| 0\.91 \| – \| –$/)
  expect((await rowsOf('Anomalies'))[1]).toMatch(/^outlier \| jump \| Vib.* \| 0\.90 \| confirmed \| ann$/)
  expect((await rowsOf('Alerts'))[0]).toMatch(/^acknowledged \| critical \| Vib.* \| – \| ann \| on my way$/)
})

describe('what a reader does', () => {
  it('goes from an alert to its device, half an hour before and behind it', async () => {
    await view.open('tributary-alerts', { query: 'from=now-30m&to=now' })
    await view.drawAll()
    await view.panel('Alerts').locator('tbody a').first().click()
    await expect.poll(() => new URL(view.page.url()).pathname, WAIT).toMatch(/^\/d\/tributary-[a-z-]+\/device$/)
    const { searchParams } = new URL(view.page.url())
    expect(searchParams.get('time.window')).toBe('3600000')
    expect(Number(searchParams.get('time'))).toBeGreaterThan(view.influx.nowMs - 1_800_000)
    await expect
      .poll(() => view.page.getByRole('button', { name: /^Time range/ }).textContent(), WAIT)
      .toMatch(/^\d{4}-.* – \d{4}-/)
  })

  it('goes from a device in the fleet to its dashboard, and back', async () => {
    await open('tributary-fleet', { query: 'from=now-5m&to=now' })
    await page.getByRole('link', { name: 'thermometer-1' }).click()
    await expect.poll(() => page.locator('.controls h1').textContent(), WAIT).toBe('Climate')
    const address = new URL(page.url())
    expect(Object.fromEntries(address.searchParams)).toEqual({
      'var-site': 'workshop',
      'var-device': 'thermometer-1',
      from: 'now-5m',
      to: 'now',
    })
    await page.getByRole('button', { name: 'Device: thermometer-1' }).waitFor(WAIT)
    await expect
      .poll(() => panel('Temperature').locator('.legend button span').allTextContents(), WAIT)
      .toEqual(['expected at most', 'highest', 'mean'])
    await page.goBack()
    await expect.poll(() => page.locator('.controls h1').textContent(), WAIT).toBe('Fleet')
  })

  it('compares the devices of a kind, and stays at the entry of that kind', async () => {
    await open('tributary-tank')
    const entry = (current: string) => page.locator(`.top nav a[aria-current="${current}"]`)
    expect(await entry('page').allTextContents()).toEqual(['Tank'])
    await page.getByRole('link', { name: 'Compare' }).click()
    await expect.poll(() => page.locator('.controls h1').textContent(), WAIT).toBe('Compare: Tank')
    expect(await entry('true').allTextContents()).toEqual(['Tank'])
    expect(await entry('page').count()).toBe(0)
  })

  it('picks a device by keyboard; the address keeps it', async () => {
    await open('compare-vibration')
    const picker = page.getByRole('button', { name: 'Devices: All' })
    await picker.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('checkbox', { name: 'pump-2' }).focus()
    await page.keyboard.press('Space')
    await expect.poll(() => new URL(page.url()).searchParams.getAll('var-devices'), WAIT).toEqual(['pump-2'])
    const overlaid = page.locator('.panel', { hasText: ': overlaid' })
    await expect.poll(() => overlaid.locator('.legend button span').allTextContents(), WAIT).toEqual(['pump-2'])
    await page.keyboard.press('Escape')
    expect(await page.getByRole('dialog').count()).toBe(0)
    expect(await page.getByRole('button', { name: 'Devices: pump-2' }).evaluate((e) => e.matches(':focus'))).toBe(true)
  })

  it('shows one series, hides one, shows all', async () => {
    await open('tributary-climate')
    const pressed = () => attributes('.panel:has(h2:text-is("Temperature")) .legend button', 'aria-pressed')
    const [first, second] = await panel('Temperature').locator('.legend button').all()
    await first?.click()
    expect(await pressed()).toEqual(['true', 'false', 'false'])
    await first?.click()
    expect(await pressed()).toEqual(['true', 'true', 'true'])
    await second?.click({ modifiers: ['Shift'] })
    expect(await pressed()).toEqual(['true', 'false', 'true'])
  })

  it('points at a chart: the values of that time, and a crosshair in the others', async () => {
    await open('tributary-climate')
    await panel('Temperature')
      .locator('.u-over')
      .hover({ position: { x: 300, y: 60 } })
    const tooltip = panel('Temperature').locator('.tooltip')
    await tooltip.waitFor(WAIT)
    expect(await tooltip.textContent()).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dhighest\d+\.\d\d °C/)
    const crosshair = panel('Relative humidity').locator('.u-cursor-x')
    expect(await crosshair.evaluate((e) => e.style.transform)).toMatch(/translate\(\d{2,}/)
  })

  it('zooms by dragging, widens, and returns to a range by its name', async () => {
    await open('tributary-climate')
    const box = await panel('Temperature').locator('.u-over').boundingBox()
    if (!box) throw new Error('the chart has no box')
    await page.mouse.move(box.x + 100, box.y + 40)
    await page.mouse.down()
    await page.mouse.move(box.x + 250, box.y + 40, { steps: 5 })
    await page.mouse.up()
    const span = () => {
      const { searchParams } = new URL(page.url())
      return Number(searchParams.get('to')) - Number(searchParams.get('from'))
    }
    await expect.poll(span, WAIT).toBeGreaterThan(60_000)
    const zoomed = span()
    expect(zoomed / ((150 / box.width) * 900_000)).toBeCloseTo(1, 1)
    await page.getByRole('button', { name: 'Zoom out' }).click()
    await expect.poll(span, WAIT).toBeGreaterThan(zoomed * 1.9)
    await page.getByRole('button', { name: /^Time range/ }).click()
    await page.getByRole('button', { name: 'Last 1 hour' }).click()
    await expect.poll(() => new URL(page.url()).searchParams.get('from'), WAIT).toBe('now-1h')
  })

  it('writes a time range; a mistake is named', async () => {
    await open('tributary-account')
    await page.getByRole('button', { name: /^Time range/ }).click()
    await page.getByRole('textbox', { name: 'From' }).fill('noon')
    await page.getByRole('button', { name: 'Apply' }).click()
    expect(await page.getByRole('alert').textContent()).toBe('Write a time as 2026-01-31 14:05, or as now-2h')
    await page.getByRole('textbox', { name: 'From' }).fill('now-10m')
    await page.getByRole('button', { name: 'Apply' }).click()
    await expect.poll(() => new URL(page.url()).searchParams.get('from'), WAIT).toBe('now-10m')
  })

  it('switches events off', async () => {
    await open('tributary-climate')
    await page.getByRole('button', { name: /^Events/ }).click()
    const box = page.getByRole('checkbox', { name: 'Anomalies: Temperature' })
    expect(await box.isChecked()).toBe(true)
    const asked: string[] = []
    page.on('request', (request) => asked.push(decodeURIComponent(request.url())))
    await box.uncheck()
    await expect.poll(() => asked.some((url) => url.includes('FROM "alert"')), WAIT).toBe(true)
    await drawn()
    expect(asked.some((url) => url.includes('FROM "anomaly"') && url.includes(`"field" = 'temperature_c'`))).toBe(false)
  })

  it('sorts a table by a column', async () => {
    await open('tributary-fleet')
    const devices = () => panel('Climate').locator('tbody tr td:first-child').allTextContents()
    const header = panel('Climate').getByRole('button', { name: 'Device' })
    await header.click()
    expect(await devices()).toEqual(['thermometer-1', 'thermometer-2'])
    await header.click()
    expect(await devices()).toEqual(['thermometer-2', 'thermometer-1'])
    expect(await attributes('.panel:has(h2:text-is("Climate")) th:first-child', 'aria-sort')).toEqual(['descending'])
  })

  it('is refreshed by itself, every so often', async () => {
    await open('tributary-account')
    let asked = 0
    page.on('request', (request) => {
      if (request.url().includes('/api/query')) asked++
    })
    await page.getByLabel('Refresh every').selectOption('5s')
    await expect.poll(() => asked, WAIT).toBeGreaterThan(10)
    const after = asked
    await expect.poll(() => asked, WAIT).toBeGreaterThan(after + 10)
  })
})

describe('when there is nothing to see', () => {
  it('says for what and when there is no data', async () => {
    await open('tributary-climate', { query: 'var-device=thermometer-9&from=1700000000000&to=1700000600000' })
    await expect
      .poll(() => panel('Temperature').locator('.message').textContent(), WAIT)
      .toMatch(/^No data from .+ for workshop · thermometer-9$/)
    await drawAll()
    expect(await panel('Alerts').locator('.message').textContent()).toBe('No alerts in this time range')
    expect(view.complaints).toEqual([])
  })

  it('names a dashboard that does not exist', async () => {
    await page.goto(`${view.viewer.url}d/nothing`)
    await expect.poll(() => page.getByRole('alert').textContent(), WAIT).toContain('there is no dashboard nothing')
  })

  it('says that InfluxDB is away, keeps what it showed, and comes back by itself', async () => {
    await open('tributary-climate')
    const before = await panel('Now').locator('tbody').textContent()
    await page.route('**/api/query**', (route) =>
      route.fulfill({
        status: 502,
        json: { error: 'InfluxDB at http://127.0.0.1:8086 does not answer (connect ECONNREFUSED)' },
      }),
    )
    await page.getByRole('button', { name: 'Refresh now' }).click()
    await expect
      .poll(() => panel('Temperature').locator('.message').textContent(), WAIT)
      .toContain('InfluxDB at http://127.0.0.1:8086 does not answer')
    expect(await panel('Now').locator('tbody').textContent()).toBe(before)
    await page.unroute('**/api/query**')
    await page.getByRole('button', { name: 'Refresh now' }).click()
    await expect.poll(() => panel('Temperature').getAttribute('data-state'), WAIT).toBe('ready')
  })
})
