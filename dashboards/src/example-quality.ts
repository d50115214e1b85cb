/** Line protocol of what is wrong with data, as the processor writes it: issues of samples, and drifts. For tests only. */

const HOUR_MS = 3_600_000

interface Issue {
  readonly kind: string
  readonly device: string
  /** None: the whole sample. */
  readonly field?: string
  readonly issue: string
  readonly policy?: string
  /** Of a batch with it, and every so often. */
  readonly samples: number
  readonly everyMs: number
  readonly forMs: number
}
const ISSUES: readonly Issue[] = [
  ...[
    { issue: 'late', samples: 30, everyMs: 120_000, forMs: 5 * HOUR_MS },
    { issue: 'late_beyond_memory', samples: 4, everyMs: HOUR_MS, forMs: 5 * HOUR_MS },
    { issue: 'time_corrected', samples: 60, everyMs: 300_000, forMs: HOUR_MS },
    { issue: 'time_estimated', samples: 2, everyMs: 400_000, forMs: HOUR_MS },
    { issue: 'time_untrusted', samples: 10, everyMs: 500_000, forMs: 2 * HOUR_MS },
  ].map((one) => ({ ...one, kind: 'climate', device: 'thermometer-2' })),
  ...[
    {
      field: 'temperature_c',
      issue: 'out_of_range',
      policy: 'reject',
      samples: 2,
      everyMs: 200_000,
      forMs: 9 * HOUR_MS,
    },
    { field: 'speed_rpm', issue: 'step_too_large', policy: 'flag', samples: 1, everyMs: 600_000, forMs: 9 * HOUR_MS },
  ].map((one) => ({ ...one, kind: 'vibration', device: 'pump-2' })),
  {
    kind: 'tank',
    device: 'tank-1',
    issue: 'too_late',
    policy: 'flag',
    samples: 1,
    everyMs: 420_000,
    forMs: 20 * HOUR_MS,
  },
]

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

export function exampleQuality(site: string, nowMs: number): string[] {
  const issues = ISSUES.flatMap(({ kind, device, field, issue, policy, samples, everyMs, forMs }) =>
    Array.from({ length: Math.floor(forMs / everyMs) }, (_, i) => {
      const tags = `device=${device}${field ? `,field=${field}` : ''},issue=${issue},site=${site}`
      const said = `kind="${kind}"${policy ? `,policy="${policy}"` : ''},samples=${samples + (i % 3)}i`
      return `data_quality,${tags} ${said} ${nowMs - 100_000 - i * everyMs}`
    }),
  )
  const drifts = DRIFTS.map(
    ([device, kind, field, change, message], i) =>
      `schema_drift,change=${change},device=${device},field=${field},site=${site} kind="${kind}",message="${message}" ${nowMs - 300_000 - i * 60_000}`,
  )
  return [...issues, ...drifts]
}
