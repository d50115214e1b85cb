/** Every panel of every dashboard, drawn from what a real pipeline stored of devices that measured for a day, and of a bad minute. */
import { join } from 'node:path'
import { readContracts } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { type Pipeline, repositoryFolder } from '@tributary/stack'
import { expect, test } from 'vitest'
import { dashboardsOf, openDashboard, panelTitles, startBrowser } from './harness/browse.ts'
import { givePast, sayWhatOneMakesOfIt, untilDrained } from './harness/lived-pipeline.ts'
import { withPipeline } from './harness/with-pipeline.ts'

const SCENARIO = join(repositoryFolder, 'e2e', 'scenarios', 'lived.yaml')
const DAY_MS = 86_400_000
const LIVE_MS = 90_000
/** The line is drawn from raw readings, from windows of a minute, of an hour. */
const RANGES = ['now-5m', 'now-1d', 'now-30d']

/** Dashboards of one device: the one to which something happens. */
const DEVICES: Readonly<Record<string, string>> = {
  'tributary-climate': 'thermometer-2',
  'tributary-vibration': 'pump-1',
  'tributary-power': 'power-2',
  'tributary-tank': 'tank-2',
}

/** What did not happen, and what this machine has no sensor for. */
const MAY_BE_EMPTY = [
  /^Account \/ Tombstones/,
  /^(Agent|Gateway|Processor) health \/ (Alerts|Anomalies|Late, )/,
  /^Host \/ (Alerts|Anomalies|Late, )/,
  /^Host \/ (SoC temperature|Under-voltage)$/,
  /^Agent health \/ Samples missed by sequence$/,
]

/** Titles of the panels that must have data in every range: those of the devices' fields. */
async function fieldTitles(pipeline: Pipeline): Promise<Set<string>> {
  const contracts = await readContracts(pipeline.contractsFolder)
  const titles = Object.keys(DEVICES).flatMap((uid) => {
    const contract = contracts.get(uid.replace('tributary-', ''))
    return Object.entries(contract?.fields ?? {}).flatMap(([name, field]) =>
      'role' in field && field.role === 'sequence' ? [] : [`${uid} / ${field.label ?? name}`],
    )
  })
  expect(titles.length).toBeGreaterThan(10)
  return new Set(titles)
}

test('each panel that should have data has it: raw readings, and windows of every width', { timeout: 600_000 }, () =>
  withPipeline(
    { scenarioFile: SCENARIO, seed: 3, viewerPort: 0 },
    async (pipeline) => {
      await untilDrained(pipeline)
      await sayWhatOneMakesOfIt(pipeline)
      await systemClock.sleep(LIVE_MS)
      const browser = await startBrowser()
      try {
        const viewer = pipeline.urls.viewer as string
        const always = await fieldTitles(pipeline)
        const unfilled: string[] = []
        for (const { uid, title } of await dashboardsOf(viewer)) {
          const seen = new Map<string, string[]>()
          for (const from of RANGES) {
            const query = `from=${from}&to=now${DEVICES[uid] ? `&var-device=${DEVICES[uid]}` : ''}`
            for (const panel of await openDashboard(browser.page, viewer, uid, query)) {
              if (panel.state === 'error') unfilled.push(`${title} / ${panel.title} from ${from}: ${panel.text}`)
              if (panel.state !== 'ready') continue
              seen.set(panel.title, [...(seen.get(panel.title) ?? []), from])
              always.delete(seen.get(panel.title)?.length === RANGES.length ? `${uid} / ${panel.title}` : '')
            }
            expect(browser.complaints(), title).toEqual([])
          }
          for (const panel of await panelTitles(browser.page))
            if (!seen.has(panel) && !MAY_BE_EMPTY.some((may) => may.test(`${title} / ${panel}`)))
              unfilled.push(`${title} / ${panel}: empty in every range`)
        }
        expect(unfilled).toEqual([])
        expect([...always], 'fields without data in some range').toEqual([])
      } finally {
        await browser.stop()
      }
    },
    (pipeline, folder) => givePast(pipeline, folder, SCENARIO, DAY_MS),
  ),
)
