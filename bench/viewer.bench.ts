/**
 * The viewer on a day of readings, one a second, of ten fields in a real influxd, in a real Chromium: how long until ten panels are
 * drawn, from the windows that the shipped dashboards read and from every single reading; bytes and queries of a load; how
 * evenly it scrolls. A value that is drawn is compared with what was written.
 */
import { strict as assert } from 'node:assert'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createViewer, type Viewer } from '@tributary/dashboards'
import { createLogger, systemClock } from '@tributary/runtime'
import { createInfluxServer, findServer, freePort } from '@tributary/stack'
import { quantile, type Report } from './report.ts'
import { fromReadings, fromShipped, PANELS } from './viewer/bench-dashboards.ts'
import { DAY_MS, FIELDS, meanOf, writeDay } from './viewer/day-of-data.ts'
import { type MeasuredPage, openMeasuredPage } from './viewer/measured-page.ts'

const clock = systemClock
const LOADS = 15
const DRAWN_MS_MAX = 2_000
const PAGE_BYTES_MAX = 150 * 1000
/** Two frames of 60 a second: more is seen. */
const FRAME_MS_MAX = 34
const TOLERANCE = 1e-5
/** Tall enough to show all panels at once, and as a screen is. */
const ALL = { width: 1440, height: 1900 }
const SCREEN = { width: 1440, height: 700 }

export async function run(report: Report): Promise<void> {
  if (!report.options.long) return report.print('takes a minute: name it, or give --full')
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-viewer-'))
  const ports = { http: await freePort(), rpc: await freePort() }
  await mkdir(join(folder, 'influx'))
  const influx = await createInfluxServer(await findServer('influxd'), join(folder, 'influx'), ports)
  let viewer: Viewer | undefined
  const signal = new AbortController().signal
  try {
    await influx.start()
    const endMs = Math.floor(clock.wallMs() / 60_000) * 60_000
    const readings = await writeDay(influx.url, endMs, report.progress)
    report.print(
      `${readings.toLocaleString('en-GB')} readings in InfluxDB: ${FIELDS.length} fields, one a second, 24 h, and their windows`,
    )
    const shipped = await fromShipped()
    for (const dashboard of [shipped, fromReadings()])
      await writeFile(join(folder, `${dashboard.uid}.json`), JSON.stringify(dashboard))
    viewer = createViewer(
      {
        listen: { host: '127.0.0.1', port: 0 },
        influx: { url: influx.url, database: 'tributary', version: 1, auth: { kind: 'none' } },
        dashboardsFolder: folder,
      },
      { clock, log: createLogger('viewer', 'silent') },
    )
    await viewer.start(signal)
    const range = { fromMs: endMs - DAY_MS, toMs: endMs - 1 }
    const address = (uid: string) => `${viewer?.url}d/${uid}?from=${range.fromMs}&to=${range.toMs}&refresh=`
    await loads('from windows, as shipped', address('bench-windows'), folder, report)
    await loads('from every reading', address('bench-readings'), folder, report, (page) => expectDrawn(page, report))
  } finally {
    await viewer?.stop(signal)
    await influx.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function loads(
  what: string,
  url: string,
  folder: string,
  report: Report,
  check?: (page: MeasuredPage) => Promise<void>,
): Promise<void> {
  const profile = await mkdtemp(join(folder, 'chromium-'))
  const page = await openMeasuredPage(profile, ALL)
  try {
    const cold = await page.load(url, PANELS)
    report.figure({
      what: `${what}: first load, all ${PANELS} panels drawn`,
      value: cold.drawnMs,
      unit: 'ms',
      budget: DRAWN_MS_MAX,
    })
    report.figure({
      what: `${what}: page, script, style and font`,
      value: cold.pageBytes,
      unit: 'bytes',
      budget: PAGE_BYTES_MAX,
    })
    const drawnMs: number[] = []
    let last = cold
    for (let i = 0; i < LOADS; i++) {
      last = await page.load(url, PANELS)
      drawnMs.push(last.drawnMs)
      report.progress(`${i + 1} of ${LOADS} loads`)
    }
    report.figure({
      what: `${what}: median of ${LOADS} loads`,
      value: quantile(drawnMs, 0.5),
      unit: 'ms',
      budget: DRAWN_MS_MAX,
    })
    report.figure({ what: `${what}: worst load`, value: Math.max(...drawnMs), unit: 'ms', budget: DRAWN_MS_MAX })
    report.figure({ what: `${what}: queries a load`, value: last.queries, unit: '' })
    report.figure({ what: `${what}: answers of a load`, value: last.answerBytes, unit: 'bytes' })
    await check?.(page)
  } finally {
    await page.close()
  }
  const small = await openMeasuredPage(profile, SCREEN)
  try {
    await small.load(url, 4)
    const frames = await small.scroll()
    report.figure({ what: `${what}: median frame while scrolling`, value: quantile(frames, 0.5), unit: 'ms' })
    report.figure({
      what: `${what}: 95 of 100 frames while scrolling within`,
      value: quantile(frames, 0.95),
      unit: 'ms',
      budget: FRAME_MS_MAX,
    })
    report.figure({ what: `${what}: longest frame while scrolling`, value: Math.max(...frames), unit: 'ms' })
  } finally {
    await small.close()
  }
}

/** What the tooltips say in the middle of each panel is the mean of the readings of that interval. */
async function expectDrawn({ page, asked }: MeasuredPage, report: Report): Promise<void> {
  const [, amount, unit] =
    /GROUP BY time\((\d+)(s|m)\)/.exec(asked.find((query) => query.includes('GROUP BY time')) ?? '') ?? []
  const intervalMs = Number(amount) * (unit === 'm' ? 60_000 : 1_000)
  assert(intervalMs > 0, 'the queries group by time')
  for (const { kind, field, phase } of FIELDS) {
    const panel = page.locator('.panel', { has: page.getByRole('heading', { name: `${kind} ${field}`, exact: true }) })
    const box = await panel.locator('.u-over').boundingBox()
    assert(box, `${kind} ${field} is drawn`)
    await panel.locator('.u-over').hover({ position: { x: box.width / 2, y: box.height / 2 } })
    const when = (await panel.locator('.tooltip .when').first().textContent()) ?? ''
    const shown = Number(await panel.locator('.tooltip .line b').first().textContent())
    const fromMs = new Date(when.replace(' ', 'T')).getTime()
    const expected = meanOf(phase, fromMs, fromMs + intervalMs)
    assert(Math.abs(shown - expected) < TOLERANCE, `${kind} ${field} at ${when}: drawn ${shown}, written ${expected}`)
  }
  report.print(`a value of each of the ${FIELDS.length} panels was compared with what was written: the same`)
}
