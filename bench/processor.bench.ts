/**
 * CPU a reading in the processor, from a batch's bytes to line protocol: decode, deduplicate, contract, enrich, four windows with
 * sketches, detectors, alerts; and what a series weighs in a checkpoint in the long run. No network and no disk. The result is checked: every reading in a line, every window's count right.
 */

import {
  accountOf,
  allSeries,
  batchOf,
  blockOf,
  clearEffects,
  contextOf,
  createEffects,
  encodeState,
  readingsOf,
  stateFor,
  step,
} from '@tributary/cloud-processor/testing'
import { type Contract, contractSchema, decodeBatch, encodeBatch } from '@tributary/protocol'
import type { Report } from './report.ts'

const FIELDS = 4
const START_MS = 1_767_225_600_000
const SAMPLE_EVERY_MS = 1_000
const SECONDS = 180
/** Until the widest windows hold two hours' readings: the checkpoint is weighed then. */
const SECONDS_LONG = 7_200
const SERIES_LONG = 100
/** The processor's default. */
const PUNCTUAL_MEMORY_MS = 60_000

const contract = (withDetectors: boolean): Contract =>
  contractSchema.parse({
    kind: 'bench',
    version: 1,
    description: 'Four numbers.',
    interval: '1s',
    fields: Object.fromEntries(
      Array.from({ length: FIELDS }, (_, i) => [
        `field_${i}`,
        { type: 'float', label: `Field ${i}`, decimals: 2, range: [-1e6, 1e6] },
      ]),
    ),
    detectors: withDetectors ? { outlier: ['field_0'], flatline: { field_1: '5m' }, silence: '1m' } : {},
  })

/** One agent whose devices are all measured once a second; a batch holds about a thousand readings. */
function batchesFor(series: number, seconds = SECONDS): { bytes: Uint8Array[]; readings: number } {
  const devices = Array.from({ length: series / FIELDS }, (_, i) => `device-${i}`)
  const samplesPerBlock = Math.max(1, Math.round(1_000 / series))
  const devicesPerBatch = Math.min(devices.length, 1_000 / FIELDS)
  const bytes: Uint8Array[] = []
  let sequence = 0
  let readingsBefore = 0
  for (let second = 0; second < seconds; second += samplesPerBlock)
    for (let from = 0; from < devices.length; from += devicesPerBatch) {
      const blocks = devices.slice(from, from + devicesPerBatch).map((device, d) =>
        blockOf(
          device,
          'bench',
          Array.from({ length: Math.min(samplesPerBlock, seconds - second) }, (_, i) => ({
            timeMs: START_MS + (second + i) * SAMPLE_EVERY_MS + (d % 100),
            values: Object.fromEntries(
              Array.from({ length: FIELDS }, (_, f) => [
                `field_${f}`,
                Math.round(
                  (20 + f * 10 + 5 * Math.sin((second + i) / 30 + d) + ((second * 7 + d * 3 + i) % 10) / 10) * 100,
                ) / 100,
              ]),
            ),
          })),
        ),
      )
      const last = from + devicesPerBatch >= devices.length
      sequence += 1
      const completeThroughMs = START_MS + (last ? second + samplesPerBlock : second) * SAMPLE_EVERY_MS
      bytes.push(encodeBatch(batchOf({ sequence, readingsBefore, completeThroughMs, blocks })))
      readingsBefore += readingsOf(blocks)
    }
  return { bytes, readings: readingsBefore }
}

function measure(series: number, withDetectors: boolean, repeats: number, seconds = SECONDS) {
  const { bytes, readings } = batchesFor(series, seconds)
  let best = Number.POSITIVE_INFINITY
  let decodeUs = Number.POSITIVE_INFINITY
  let lineBytes = 0
  let stateBytes = 0
  for (let round = 0; round < repeats; round++) {
    const context = contextOf([contract(withDetectors)], { punctualMemoryMs: PUNCTUAL_MEMORY_MS })
    const state = stateFor(context)
    const effects = createEffects()
    let lines = 0
    lineBytes = 0
    const before = process.cpuUsage()
    for (const [i, encoded] of bytes.entries()) {
      step(
        state,
        { site: 'bench', agent: 'agent-a', streamSequence: i + 1, receivedAtMs: START_MS, batch: decodeBatch(encoded) },
        context,
        effects,
      )
      // A request holds some 5,000 lines.
      if (effects.lines.count >= 5_000 || i === bytes.length - 1) {
        lines += effects.lines.count
        lineBytes += effects.lines.length
        clearEffects(effects)
      }
    }
    const used = process.cpuUsage(before)
    best = Math.min(best, (used.user + used.system) / readings)
    const [account] = accountOf(state, 0, 0)
    if (account?.stored !== readings || lines < readings / FIELDS)
      throw new Error(`stored ${account?.stored} of ${readings} readings, ${lines} lines`)
    for (const { windows } of allSeries(state))
      for (const row of windows?.[0]?.rows.values() ?? [])
        if (row.closed && row.cells[0] !== 10) throw new Error(`a window of ten seconds holds ${row.cells[0]} readings`)
    stateBytes = encodeState(state).length
    const beforeDecode = process.cpuUsage()
    for (const encoded of bytes) decodeBatch(encoded)
    const decode = process.cpuUsage(beforeDecode)
    decodeUs = Math.min(decodeUs, (decode.user + decode.system) / readings)
  }
  return { readings, us: best, decodeUs, lineBytes: lineBytes / readings, stateBytesPerSeries: stateBytes / series }
}

export async function run({ print }: Report): Promise<void> {
  print(
    'processor: CPU µs a reading from batch bytes to line protocol, windows of 10 s, 1 min, 15 min and 1 h with percentiles included',
  )
  for (const withDetectors of [false, true])
    for (const series of [100, 10_000]) {
      const result = measure(series, withDetectors, series === 100 ? 20 : 3)
      print(
        `  ${String(series).padStart(6)} series, ${withDetectors ? 'outlier, flatline, silence' : 'no detectors            '}: ` +
          `${result.us.toFixed(2)} µs a reading (decoding ${result.decodeUs.toFixed(2)}), ${result.lineBytes.toFixed(0)} bytes of lines a reading, ` +
          `checkpoint ${result.stateBytesPerSeries.toFixed(0)} bytes a series after ${SECONDS} s; ${result.readings} readings, all stored`,
      )
    }
  const { stateBytesPerSeries } = measure(SERIES_LONG, true, 1, SECONDS_LONG)
  print(
    `  ${SERIES_LONG} series after ${SECONDS_LONG / 3_600} h: checkpoint ${stateBytesPerSeries.toFixed(0)} bytes a series`,
  )
}
