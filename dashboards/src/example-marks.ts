/** Line protocol of what the processor says of a device's data: what its detectors expected, what was late, corrected, refused. For tests only. */
import { type Contract, outlierSizeOf } from '@tributary/protocol'

const MINUTE_MS = 60_000
const EXPECTED_SPAN_MS = 90_000_000

/** `<kind>_expected`: of the fields that have a learned detector. */
export function exampleExpected(
  contract: Contract,
  tags: string,
  nowMs: number,
  valueAt: (field: string, timeMs: number) => number,
): string[] {
  const fields = Object.keys(contract.fields).filter((name) => outlierSizeOf(contract, name) !== undefined)
  if (fields.length === 0) return []
  const lines: string[] = []
  const last = Math.floor(nowMs / MINUTE_MS) * MINUTE_MS
  for (let timeMs = last; timeMs > nowMs - EXPECTED_SPAN_MS; timeMs -= MINUTE_MS) {
    const bounds = fields.map((name) => {
      const value = valueAt(name, timeMs)
      return `${name}_lower=${value - 2},${name}_upper=${value + 2}`
    })
    lines.push(`${contract.kind}_expected,${tags} ${bounds.join(',')} ${timeMs}`)
  }
  return lines
}

const MARKS: readonly (readonly [issue: string, ageMs: number, samples: number, field?: string])[] = [
  ['late', 610_000, 12],
  ['late', 590_000, 12],
  ['late_beyond_memory', 570_000, 3],
  ['time_corrected', 420_000, 40],
  ['time_estimated', 380_000, 2],
  ['time_untrusted', 370_000, 1],
  ['out_of_range', 130_000, 1, 'first'],
]

/** `data_quality`. A device may send several kinds: what is said of each has its own time. */
export function exampleMarks(contract: Contract, tags: string, nowMs: number): string[] {
  const first = Object.keys(contract.fields)[0] as string
  return MARKS.map(([issue, ageMs, samples, field]) => {
    const [tag, policy] = field === undefined ? ['', ''] : [`,field=${first}`, ',policy="reject"']
    return `data_quality,${tags},issue=${issue}${tag} kind="${contract.kind}",samples=${samples}i${policy} ${nowMs - ageMs - contract.kind.length}`
  })
}
