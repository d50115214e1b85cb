/**
 * A contract: what a kind's samples look like. One YAML file a kind under `contracts/`; validator, InfluxDB types,
 * dashboards and simulator are derived from it.
 */
import { z } from 'zod'
import { detectorMistakes, fieldsNamedBy, relationDetectors } from './contract-detectors.ts'
import { duration, identifier } from './contract-values.ts'
import { ROLLUP_WIDTH_MS_MAX } from './limits.ts'

const common = {
  /** What a person reads on a dashboard, such as "Bearing temperature". */
  label: z.string().min(1),
  required: z.boolean().default(false),
  /** What is stored instead of the values: "***", a keyed hash, nothing. Whatever the type, that is text. */
  sensitivity: z.enum(['none', 'mask', 'hash', 'drop']).default('none'),
}

const handling = z.enum(['reject', 'flag', 'pass'], { error: 'must be "reject", "flag" or "pass"' })
/** What becomes of readings that break the contract, for each check: refused, stored and marked, or stored as if nothing were. */
const policy = z.strictObject({
  type: handling.default('reject'),
  unit: handling.default('reject'),
  range: handling.default('reject'),
  step: handling.default('reject'),
  interval: handling.default('pass'),
  unknown_field: handling.default('reject'),
  missing_field: handling.default('flag'),
})

const numeric = {
  ...common,
  unit: z.string().default(''),
  /** Values outside are refused; inclusive. */
  range: z
    .tuple([z.number(), z.number()])
    .refine(([low, high]) => low < high, 'the first must be below the second')
    .optional(),
  /** A larger difference to the sample before is refused. */
  largest_step: z.number().positive().optional(),
  decimals: z.int().min(0).max(9).default(2),
}

/** Of a counter: the modulus at which it begins again at 0; one without never wraps, and each fall is a reset. */
const wraps = { wraps_at: z.number().positive().optional() }

const field = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('float'), ...numeric, role: z.literal('counter').optional(), ...wraps }),
  z.strictObject({
    type: z.literal('integer'),
    ...numeric,
    decimals: z.int().min(0).max(0).default(0),
    /** `sequence`: counts the device's samples; repeats and holes are seen by it. `counter`: only grows, until it wraps. */
    role: z.enum(['sequence', 'counter']).optional(),
    ...wraps,
  }),
  z.strictObject({ type: z.literal('boolean'), ...common }),
  z.strictObject({ type: z.literal('string'), ...common, values: z.array(z.string()).min(1).optional() }),
])

const WINDOW_WIDTHS_MS_DEFAULT: readonly number[] = [10_000, 60_000, 900_000, 3_600_000]
const WINDOW_WIDTHS_MAX = 8

/** "10s", "1m", "15m", "1h": what windows of a width are called. */
export function windowName(widthMs: number): string {
  for (const [unit, ms] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
  ] as const)
    if (widthMs % ms === 0) return `${widthMs / ms}${unit}`
  return `${widthMs / 1_000}s`
}

/** Explicit limits that page someone, per field; hysteresis keeps an alert from flapping. A boolean counts as 0 or 1. */
export const thresholdSchema = z
  .strictObject({
    field: identifier,
    above: z.number().optional(),
    below: z.number().optional(),
    /** The value must come back by this much before the verdict clears. */
    hysteresis: z.number().nonnegative().default(0),
    severity: z.enum(['info', 'warning', 'critical']).default('warning'),
  })
  .refine((t) => (t.above === undefined) !== (t.below === undefined), 'give either "above" or "below"')

/** `full`: many views of a series, 16 KB and some µs a reading; `lite`: two of them, 1 KB and a fraction of that. */
const outlierSize = z.enum(['lite', 'full'])
export type OutlierSize = z.infer<typeof outlierSize>

/** What samples, tags and measurements of our own are called. */
const RESERVED_FIELDS: readonly string[] = ['time', 'time_ms', 'device', 'kind', 'site', 'contract_flags']
const RESERVED_KINDS: readonly string[] = ['anomaly', 'alert', 'account', 'dead_letter', 'schema_drift', 'data_quality']
const ROLLUP_SUFFIX = /_(\d+(s|m|h|d)|expected)$/

const rangeOf = (of: z.infer<typeof field> | undefined): readonly [number, number] | undefined =>
  of?.type === 'float' || of?.type === 'integer' ? of.range : undefined

export const contractSchema = z
  .strictObject({
    kind: identifier,
    version: z.int().positive(),
    description: z.string().min(1),
    /** Expected time between two samples of a device. */
    interval: duration,
    fields: z.record(identifier, field).refine((fields) => Object.keys(fields).length > 0, 'at least one field'),
    policy: policy.prefault({}),
    /** Widths of its windows, from narrow to wide; none when empty. See `windowWidthsOf`. */
    windows: z.array(duration).max(WINDOW_WIDTHS_MAX).optional(),
    thresholds: z.array(thresholdSchema).default([]),
    detectors: z
      .strictObject({
        /** Fields watched for what they do not usually do: a list (`lite`), or which detector each has. See `outlierSizeOf`. */
        outlier: z
          .union([z.array(identifier), z.record(identifier, outlierSize)], {
            error: 'give a list of fields, or a map of fields to "lite" or "full"',
          })
          .default([]),
        /** Fields that are suspicious when they stop moving, and for how long. */
        flatline: z.record(identifier, duration).default({}),
        /** No sample of a device for this long is an anomaly. */
        silence: duration.optional(),
        ...relationDetectors,
      })
      .default({ outlier: [], flatline: {} }),
  })
  .superRefine((contract, context) => {
    const mistake = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
    if (RESERVED_KINDS.includes(contract.kind) || ROLLUP_SUFFIX.test(contract.kind))
      mistake(['kind'], 'is the name of a measurement of the pipeline itself: choose another')
    const roles = Object.entries(contract.fields).filter(([, f]) => f.type === 'integer' && f.role === 'sequence')
    for (const [name] of roles.slice(1)) mistake(['fields', name, 'role'], 'only one field can be the sequence')
    for (const [name, one] of Object.entries(contract.fields)) {
      if (RESERVED_FIELDS.includes(name)) mistake(['fields', name], 'is a reserved name: choose another')
      if (one.sensitivity === 'none') continue
      // Both would keep the value where others can read it.
      if ('largest_step' in one && one.largest_step !== undefined)
        mistake(['fields', name, 'largest_step'], 'cannot be judged of a sensitive field: leave one of the two out')
      if ('role' in one && one.role !== undefined)
        mistake(['fields', name, 'role'], 'cannot be had by a sensitive field: leave one of the two out')
    }
    for (const [name, of] of Object.entries(contract.fields)) {
      if (of.type !== 'float' && of.type !== 'integer') continue
      const { role, wraps_at: wrapsAt, largest_step: largestStep, range } = of
      if (wrapsAt === undefined) continue
      if (role !== 'counter') mistake(['fields', name, 'wraps_at'], 'is of counters alone: add "role: counter"')
      if (largestStep !== undefined)
        mistake(['fields', name, 'largest_step'], 'would refuse every wrap of the counter: leave one of the two out')
      if (range && (range[0] < 0 || range[1] > wrapsAt))
        mistake(['fields', name, 'range'], `must lie within 0 and ${wrapsAt}, where the counter wraps`)
    }
    contract.windows?.forEach((widthMs, i, widths) => {
      const before = widths[i - 1] ?? 1_000
      if (widthMs % before !== 0 || (i > 0 && widthMs === before))
        mistake(
          ['windows', i],
          i === 0 ? 'must be whole seconds' : 'must be a multiple of the width before: they are made of each other',
        )
      else if (widthMs > ROLLUP_WIDTH_MS_MAX || ROLLUP_WIDTH_MS_MAX % widthMs !== 0)
        mistake(['windows', i], 'must divide a day')
      else if (widthMs % 10_000 !== 0 && 10_000 % widthMs !== 0)
        mistake(
          ['windows', i],
          'must be a multiple of 10s, or a part of it: agents that run out of room roll up to 10s',
        )
    })
    contract.thresholds.forEach((limit, i) => {
      const range = rangeOf(contract.fields[limit.field])
      const value = limit.above ?? limit.below
      if (range && value !== undefined && (value < range[0] || value > range[1]))
        mistake(
          ['thresholds', i, limit.above === undefined ? 'below' : 'above'],
          `lies outside the range of ${limit.field}, ${range[0]} to ${range[1]}, and can never be passed`,
        )
    })
    const mentioned: [(string | number)[], string][] = [
      ...contract.thresholds.map((t, i): [(string | number)[], string] => [['thresholds', i, 'field'], t.field]),
      ...outlierFields(contract).map((f, i): [(string | number)[], string] => [
        ['detectors', 'outlier', Array.isArray(contract.detectors.outlier) ? i : f],
        f,
      ]),
      ...Object.keys(contract.detectors.flatline).map((f): [(string | number)[], string] => [
        ['detectors', 'flatline', f],
        f,
      ]),
      ...fieldsNamedBy(contract.detectors),
    ]
    for (const { path, message } of detectorMistakes(contract, windowWidthsOf(contract))) mistake(path, message)
    for (const [path, name] of mentioned) {
      const type = Object.hasOwn(contract.fields, name) ? contract.fields[name]?.type : undefined
      if (type === undefined) mistake(path, `the contract has no field "${name}"`)
      else if (type === 'string' || (type === 'boolean' && path[0] !== 'thresholds'))
        mistake(path, `"${name}" is a ${type}, and only numbers can be watched so`)
      else if (contract.fields[name]?.sensitivity !== 'none')
        mistake(path, `"${name}" is sensitive, and what is said of it would tell its values`)
    }
  })

export type Contract = z.infer<typeof contractSchema>
/** Widths of a kind's windows in milliseconds, from narrow to wide. */
export const windowWidthsOf = ({ windows }: { readonly windows?: readonly number[] | undefined }): readonly number[] =>
  windows ?? WINDOW_WIDTHS_MS_DEFAULT

interface WatchedFields {
  readonly detectors: { readonly outlier: readonly string[] | Readonly<Record<string, OutlierSize>> }
}
const outlierFields = ({ detectors: { outlier } }: WatchedFields): readonly string[] =>
  outlier instanceof Array ? outlier : Object.keys(outlier)
/** The learned detector that a contract asks for on a field; undefined: none. */
export const outlierSizeOf = ({ detectors: { outlier } }: WatchedFields, field: string): OutlierSize | undefined =>
  outlier instanceof Array
    ? outlier.includes(field)
      ? 'lite'
      : undefined
    : Object.hasOwn(outlier, field)
      ? outlier[field]
      : undefined

export type ContractField = Contract['fields'][string]
export type Policy = Contract['policy']
export type Sensitivity = ContractField['sensitivity']
export type Threshold = z.infer<typeof thresholdSchema>
/** Contracts by kind. */
export type Contracts = ReadonlyMap<string, Contract>

/** The type of a field in the store: what stands there instead of sensitive values is text. */
export const storedType = (field: ContractField): ContractField['type'] =>
  field.sensitivity === 'none' ? field.type : 'string'
