/** Every panel of every dashboard, drawn from what a real pipeline stored of devices that measured for a day, and of a bad minute. */
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { repositoryFolder } from '@tributary/stack'
import { expect, test } from 'vitest'
import { dashboardsOf, openDashboard, startBrowser } from './harness/browse.ts'
import { givePast, sayWhatOneMakesOfIt, untilDrained } from './harness/lived-pipeline.ts'
import { withPipeline } from './harness/with-pipeline.ts'

const SCENARIO = join(repositoryFolder, 'e2e', 'scenarios', 'lived.yaml')
const DAY_MS = 86_400_000
const LIVE_MS = 90_000
/** The line is drawn from raw readings, from windows of a minute, of an hour. */
const RANGES = ['now-5m', 'now-1d', 'now-30d']

/** Panels that show nothing because nothing of that kind happened, and say so. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set([])

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
        const unfilled: string[] = []
        for (const { uid, title } of await dashboardsOf(viewer))
          for (const from of RANGES) {
            for (const panel of await openDashboard(browser.page, viewer, uid, `from=${from}&to=now`)) {
              const where = `${title} / ${panel.title}`
              if (panel.state !== 'ready' && !(panel.state === 'empty' && MAY_BE_EMPTY.has(where)))
                unfilled.push(`${where} from ${from}: ${panel.state}: ${panel.text.slice(0, 200)}`)
            }
            expect(browser.complaints(), title).toEqual([])
          }
        expect(unfilled).toEqual([])
      } finally {
        await browser.stop()
      }
    },
    (pipeline, folder) => givePast(pipeline, folder, SCENARIO, DAY_MS),
  ),
)
