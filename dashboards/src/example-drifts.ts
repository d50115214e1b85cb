/** Line protocol of fields that changed, as the processor writes it. For tests only. */

const DRIFTS = [
  ['power-2', 'power', 'power_factor', 'new_field', 'power_factor of power-2 is not in the contract'],
  [
    'tank-1',
    'tank',
    'volume_litres',
    'changed_type',
    'volume_litres of tank-1 came as string; the contract says float',
  ],
] as const

export const exampleDrifts = (site: string, nowMs: number): string[] =>
  DRIFTS.map(
    ([device, kind, field, change, message], i) =>
      `schema_drift,change=${change},device=${device},field=${field},site=${site} kind="${kind}",message="${message}" ${nowMs - 300_000 - i * 60_000}`,
  )
