/** The page in a real Chromium: values that change as agents send, alerts that open and close, nothing from elsewhere. */
import { connectAgent, publishBatch } from '@tributary/gateway/testing'
import { systemClock } from '@tributary/runtime'
import type { MqttClient } from 'mqtt'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { climateBatch, openBrowser, type Site, startSite, until } from './testing.ts'

const WAIT = { timeout: 15_000 }
let site: Site
let agent: MqttClient
let browser: { context: BrowserContext; close: () => Promise<void> }
let page: Page
let sequence = 0
const complaints: string[] = []
const foreign: string[] = []

const publish = (fields: Record<string, number>, device?: string) => {
  sequence += 1
  return publishBatch(agent, 'agent-1', climateBatch(sequence, fields, device))
}

beforeAll(async () => {
  site = await startSite()
  agent = await connectAgent(site.gateway.mqttPort, 'agent-1')
  browser = await openBrowser()
  page = browser.context.pages()[0] ?? (await browser.context.newPage())
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('request', (request) => {
    if (!request.url().startsWith(site.url) && !request.url().startsWith('data:')) foreign.push(request.url())
  })
}, 120_000)
afterAll(async () => {
  await browser?.close()
  await agent?.endAsync()
  await site?.stop()
})

const logIn = async (password: string) => {
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Log in' }).click()
}
const value = (label: string) =>
  page.locator('tr', { has: page.getByRole('rowheader', { name: label }) }).locator('.value')

test('a wrong password shows the form again, the right one the page', async () => {
  await page.goto(site.url)
  await logIn('wrong')
  await page.getByText('User or password is wrong.').waitFor(WAIT)
  expect(complaints.splice(0).every((complaint) => complaint.includes('401'))).toBe(true)
  await logIn(site.password)
  await page.getByRole('heading', { name: 'workshop' }).waitFor(WAIT)
  expect(new URL(page.url()).pathname).toBe('/dashboard/site')
}, 60_000)

describe('the page', () => {
  test('shows what a device measures, with its unit and decimals, and shows it change', async () => {
    await publish({ temperature_c: 21.25, humidity_percent: 45 })
    await until('the value', async () => (await value('Temperature').textContent(WAIT))?.trim() === '21.25 °C')
    expect((await value('Relative humidity').textContent())?.trim()).toBe('45.0 %')
    for (const temperature of [22.5, 19]) {
      await publish({ temperature_c: temperature })
      await until(
        'the next',
        async () => (await value('Temperature').textContent())?.trim() === `${temperature.toFixed(2)} °C`,
      )
    }
    const line = page.locator('tr', { has: page.getByRole('rowheader', { name: 'Temperature' }) }).locator('svg')
    expect(await line.getAttribute('aria-label')).toMatch(/^last hour: [\d.]+ to [\d.]+ °C$/)
    expect(await line.locator('path').count()).toBeGreaterThan(0)
  }, 60_000)

  test('tells of a value beyond its limit until it is back, and marks it', async () => {
    const alerts = page.locator('.alerts')
    await publish({ temperature_c: 47 })
    await alerts.getByText('47.00 °C, above 45.00 °C').waitFor(WAIT)
    expect(await value('Temperature').textContent()).toContain('✕')
    await publish({ temperature_c: 20 })
    await alerts.waitFor({ state: 'detached', ...WAIT })
  }, 60_000)

  test('tells of a device that is silent, and of an agent that is gone instead of its devices', async () => {
    // The contract says 15 s.
    await publish({ temperature_c: 20 }, 'room-2')
    await until(
      'room-2 is silent',
      async () => {
        await publish({ temperature_c: 20 })
        return (await page.locator('.alerts li').allTextContents()).some((text) =>
          /room-2\s+is silent for more than 15 s/.test(text),
        )
      },
      30_000,
    )
    await agent.endAsync()
    await page.locator('.alerts').getByText('Agent agent-1').waitFor(WAIT)
    await systemClock.sleep(17_000)
    const told = await page.locator('.alerts li').allTextContents()
    expect(
      told.filter((text) => /room-/.test(text)),
      'one dead link is one alert',
    ).toEqual([])
    expect(await page.locator('.agents .silent').count()).toBe(1)
    agent = await connectAgent(site.gateway.mqttPort, 'agent-1')
    await publish({ temperature_c: 20 })
    await publish({ temperature_c: 20 }, 'room-2')
    await page.locator('.alerts').waitFor({ state: 'detached', ...WAIT })
  }, 120_000)

  test('fits a phone, in dark and light', async () => {
    for (const colorScheme of ['dark', 'light'] as const)
      for (const size of [
        { width: 390, height: 844 },
        { width: 1440, height: 900 },
      ]) {
        await page.emulateMedia({ colorScheme })
        await page.setViewportSize(size)
        await page.getByRole('heading', { name: 'Devices' }).waitFor(WAIT)
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(size.width)
        const folder = process.env['TRIBUTARY_SCREENSHOTS']
        if (folder) await page.screenshot({ path: `${folder}/site-view-${colorScheme}-${size.width}.png` })
      }
  }, 60_000)

  test('had nothing to complain of, and asked nobody else', () => {
    expect(complaints).toEqual([])
    expect(foreign).toEqual([])
  })

  test('says so when the gateway gives nothing any more', async () => {
    await site.gateway.end()
    await page.getByText('No live values.').waitFor(WAIT)
    await site.process.stop()
    await page.getByText('No news since').waitFor({ timeout: 20_000 })
  }, 60_000)
})
