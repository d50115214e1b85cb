/** Fields that a contract watches together: what each sample of a block has of them, for their detectors. */
import type { DeviceBlock } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import type { DeviceSeries } from './series.ts'
import { agentKeyOf } from './state.ts'
import { judge } from './watch-block.ts'

const values: number[] = []

export function watchTogether(
  s: BatchScope,
  series: DeviceSeries,
  { timesMs, columns }: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
): void {
  if (series.left) return
  for (const { fields, detector, state } of series.together) {
    const places = fields.map((name) => columns.findIndex(({ field, type }) => field === name && type === 'number'))
    if (places.every((c) => c < 0)) continue
    for (let i = 0; i < timesMs.length; i++) {
      for (let f = 0; f < places.length; f++) {
        const c = places[f] as number
        const column = columns[c]
        const isThere = column !== undefined && column.present?.[i] !== 0 && refusals[c]?.[i] !== 1
        values[f] = isThere ? (column.values[i] as number) : Number.NaN
      }
      const timeMs = timesMs[i] as number
      const verdict = detector.observe(state, timeMs, values)
      if (verdict)
        judge(s, {
          agent: agentKeyOf(s.agent),
          site: series.site,
          device: series.device,
          kind: series.contract.kind,
          field: '',
          detector,
          verdict,
          value: verdict.value,
          atMs: timeMs,
          live: s.live,
        })
    }
  }
}
