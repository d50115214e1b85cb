/**
 * What the learned detectors of a device held ordinary as each minute of its event time began: one line a minute, into `<kind>_expected`.
 *
 * Guarantee: read from the detectors' states as they were before the first reading of that minute; it costs a reading nothing. Whether
 * a minute begins follows from the newest sample that the state knows, so a batch that is processed again writes the same line.
 */
import type { BatchScope } from './batch-scope.ts'
import { linePrefix, lineTags } from './line-protocol.ts'
import type { DeviceSeries } from './series.ts'
import { windowStart } from './window.ts'

const MINUTE_MS = 60_000

/** To be called before detectors see the block. @param beforeMs the newest sample of the device before it */
export function writeExpected(s: BatchScope, series: DeviceSeries, beforeMs: number): void {
  const { layout, newestMs, left, contract, site, device, fields } = series
  if (layout.expected.length === 0 || !s.live || left) return
  const startMs = windowStart(newestMs, MINUTE_MS)
  if (!(startMs > windowStart(beforeMs, MINUTE_MS))) return
  const { rollups } = s.effects
  const prefix = linePrefix(`${contract.kind}_expected`, lineTags({ site, device }))
  rollups.begin(prefix)
  for (const { slot, scale, lower, upper } of layout.expected)
    for (const { detector, state } of fields[slot]?.watches ?? []) {
      const band = detector.band?.(state, startMs)
      if (band === undefined || !Number.isFinite(band.lower) || !Number.isFinite(band.upper)) continue
      rollups.float(lower, rounded(band.lower, scale, Math.floor), scale)
      rollups.float(upper, rounded(band.upper, scale, Math.ceil), scale)
    }
  rollups.end(prefix, startMs, 0, -1)
}

/** Outwards: what was ordinary stays within. */
function rounded(value: number, scale: number, round: (value: number) => number): number {
  const scaled = round(value * scale)
  return Math.abs(scaled) < 1e15 ? scaled / scale : value
}
