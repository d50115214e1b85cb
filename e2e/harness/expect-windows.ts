/** Asserts that there are windows, and that count, mean, min, max and last of each numeric field are those of its readings. */
import { checkWindows, type Pipeline } from '@tributary/stack'
import { expect } from 'vitest'

const ALL_MS_MAX = 120_000

export async function expectWindows(pipeline: Pipeline): Promise<void> {
  const found = await checkWindows(pipeline, AbortSignal.timeout(ALL_MS_MAX))
  expect(found.wrong.slice(0, 5)).toEqual([])
  expect(found.checked).toBeGreaterThan(50)
}
