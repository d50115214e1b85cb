/**
 * The scenario late, shorter: clocks that are behind, an agent that is offline, and poison. Each window of every width equals the one
 * computed from the simulator's ledger; and what is changed behind its back the comparison finds.
 */
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { askJson, type Pipeline, repositoryFolder } from '@tributary/stack'
import { expect, test } from 'vitest'
import { windowsOfLedger } from './harness/expect-windows.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const scenarioFile = join(repositoryFolder, 'e2e', 'scenarios', 'late.yaml')
const RUN_MS = 38_000
/** Six devices for three whole windows of 10 s at least, and the wider ones of the device whose hours have ended. */
const CHECKED_MIN = 6 * 3 + 3

interface Status {
  readonly lateBeyondMemory: number
  readonly repair: { readonly repaired: number }
}

test('late, out of order, and amid poison: every window is that of what was measured, of all widths and fields', {
  timeout: 300_000,
}, async () => {
  const said: string[] = []
  await withPipeline({ scenarioFile, seed: 21, onOutage: (text) => said.push(text) }, async (pipeline) => {
    await systemClock.sleep(RUN_MS)
    const { ledger } = await expectBalanced(pipeline)
    expect(said).toHaveLength(2)
    expect(ledger.deadLettered).toBeGreaterThan(10)

    const right = await windowsOfLedger(pipeline)
    expect(right.wrong).toEqual([])
    expect(right.checked).toBeGreaterThanOrEqual(CHECKED_MIN)
    expect(Object.keys(right.byWidth)).toEqual(['10s', '1m', '15m', '1h'])
    expect(right.fields).toBeGreaterThan(right.checked * 10)
    // Both ways were gone: from the store, and opened again in memory.
    const status = await askJson<Status>(`${pipeline.urls.processor}/status`)
    expect(status?.lateBeyondMemory).toBeGreaterThan(0)
    expect(status?.repair.repaired).toBeGreaterThan(0)
    for (const width of ['10s', '1m', '15m', '1h'])
      expect(await newest(pipeline, `power_${width}`, 'power-1'), width).toMatchObject({ energy_wh_resets: 0 })
    expect(await newest(pipeline, 'power_10s', 'power-2')).toMatchObject({ revision: expect.any(Number) })
    const revised = await pipeline.query(`SELECT max("revision") FROM "rollup"."power_10s" WHERE "device" = 'power-2'`)
    expect(revised[0]?.values[0]?.[1]).toBeGreaterThan(0)

    await spoil(pipeline)
    const { checked, wrong } = await windowsOfLedger(pipeline, 1_000)
    expect(checked).toBe(right.checked + 1)
    expect(wrong.toSorted()).toEqual([
      expect.stringMatching(/^climate_10s thermometer-1 at .*: temperature_c_p95 99 instead of /),
      expect.stringMatching(/^power_10s power-2 at .*: there is none, and there are readings$/),
      expect.stringMatching(/^power_1h power-1 at .*: energy_wh_increase 99 instead of /),
      expect.stringMatching(/^tank_1m tank-2 at .*: there are no readings$/),
      expect.stringMatching(/^vibration_10s pump-2 at .*: mood_last 1, of which there are no readings$/),
    ])
  })
})

/** The newest row that has ended, by field. */
async function newest({ query }: Pipeline, measurement: string, device: string): Promise<Record<string, unknown>> {
  const [series] = await query(
    `SELECT * FROM "rollup"."${measurement}" WHERE "device" = '${device}' AND time < now() - 60s ORDER BY time DESC LIMIT 1`,
  )
  return Object.fromEntries((series?.columns ?? []).map((name, i) => [name, series?.values[0]?.[i]]))
}

/** Changes a percentile and what was counted in an hour, takes a row away, and adds a field and a row that no readings give. */
async function spoil(pipeline: Pipeline): Promise<void> {
  const write = async (line: string) => {
    const response = await fetch(`${pipeline.influx.url}/write?db=tributary&rp=rollup&precision=ms`, {
      method: 'POST',
      body: line,
    })
    expect(response.status).toBe(204)
  }
  const climate = await firstWhole(pipeline, 'climate_10s', 'thermometer-1')
  const tags = `site=${climate['site']},device`
  await write(`climate_10s,${tags}=thermometer-1 temperature_c_p95=99 ${climate['time']}`)
  const hour = await newest(pipeline, 'power_1h', 'power-1')
  await write(`power_1h,${tags}=power-1 energy_wh_increase=99 ${hour['time']}`)
  const vibration = await firstWhole(pipeline, 'vibration_10s', 'pump-2')
  await write(`vibration_10s,${tags}=pump-2 mood_last=1 ${vibration['time']}`)
  await write(`tank_1m,${tags}=tank-2 level_percent_count=1i,revision=0i ${Number(hour['time'])}`)
  const power = await firstWhole(pipeline, 'power_10s', 'power-2')
  await pipeline.query(`DELETE FROM "power_10s" WHERE "device" = 'power-2' AND time = ${power['time']}ms`)
}

/** The second row: it has ended for sure. */
async function firstWhole({ query }: Pipeline, measurement: string, device: string): Promise<Record<string, unknown>> {
  const [series] = await query(
    `SELECT * FROM "rollup"."${measurement}" WHERE "device" = '${device}' ORDER BY time LIMIT 2`,
  )
  return Object.fromEntries((series?.columns ?? []).map((name, i) => [name, series?.values[1]?.[i]]))
}
