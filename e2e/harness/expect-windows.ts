/** Asserts that there are windows, and that all fields of each are those of its readings. */
import { checkWindows, type Pipeline, readRefusedReadings, settleWindows, type WindowCheck } from '@tributary/stack'
import { expect } from 'vitest'

const ALL_MS_MAX = 120_000

/** Of the single readings in the store. */
export async function expectWindows(pipeline: Pipeline): Promise<void> {
  const found = await checkWindows(pipeline, AbortSignal.timeout(ALL_MS_MAX))
  expect(found.wrong.slice(0, 5)).toEqual([])
  expect(found.fields).toBeGreaterThan(50)
}

/** Of what the devices measured, when everything has arrived: at most so long afterwards. */
export const windowsOfLedger = async (pipeline: Pipeline, timeoutMs = ALL_MS_MAX): Promise<WindowCheck> =>
  settleWindows(pipeline, await readRefusedReadings(pipeline.urls.nats), {
    timeoutMs,
    signal: AbortSignal.timeout(2 * ALL_MS_MAX),
  })
