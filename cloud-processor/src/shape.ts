/**
 * Schema drift: what a device sends beside its contract, changed in type, or does not send any more. Each is told once per (site,
 * device, kind, field) and change, until the kind's contract changes; it stops nothing. Judged a block, counted in samples: neither
 * silence nor the order of lanes looks like drift.
 */
import type { ContractField, DeviceBlock, FieldColumn } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { fieldKey, linePrefix } from './line-protocol.ts'
import { type DeviceSeries, type FieldSeries, layoutNamed } from './series.ts'

/** Fields that the contract does not have, remembered of one device and kind; further ones are refused. */
export const EXTRA_FIELDS_MAX = 32
const DRIFTS_KEPT = 100
/** A field has vanished when so many samples came without it, and ten times as many as ever lay between two with it. */
const VANISHED_SAMPLES = 100
const VANISHED_PAUSES = 10

export type DriftChange = 'new_field' | 'changed_type' | 'vanished_field'

export interface SchemaDrift {
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly field: string
  readonly change: DriftChange
  /** Time of the sample that showed it. */
  readonly timeMs: number
  /** A sentence for a person. */
  readonly message: string
}

/** What is remembered of how a device's samples look. */
export interface Shape {
  /** Fields that the contract does not have, with the type in which they came first. */
  readonly extras: Map<string, FieldSeries>
  /** `change/field` */
  readonly told: Set<string>
  samples: number
  /** By slot: samples up to the newest with the field (-1: none yet), and the most that came between two with it (-1: not known). */
  readonly seenAt: number[]
  readonly pauses: number[]
}

export interface SavedShape {
  readonly extras: readonly [field: string, type: FieldSeries['type']][]
  readonly told: readonly string[]
  readonly samples: number
  /** By name, as slots may change: when it was seen, longest pause. */
  readonly fields: Readonly<Record<string, readonly [seenAt: number, pause: number]>>
}

/** @param saved what a checkpoint kept of it */
export function createShape(fields: readonly FieldSeries[], saved?: SavedShape): Shape {
  const of = (index: 0 | 1) => fields.map(({ name }) => saved?.fields[name]?.[index] ?? -1)
  return {
    extras: new Map((saved?.extras ?? []).map(([field, type]) => [field, extraField(field, type)])),
    told: new Set(saved?.told),
    samples: saved?.samples ?? 0,
    seenAt: of(0),
    pauses: of(1),
  }
}

export const saveShape = ({ shape, fields }: DeviceSeries): SavedShape => ({
  extras: [...shape.extras.values()].map(({ name, type }) => [name, type]),
  told: [...shape.told],
  samples: shape.samples,
  fields: Object.fromEntries(
    fields.flatMap(({ name, slot }) =>
      (shape.seenAt[slot] as number) < 0
        ? []
        : [[name, [shape.seenAt[slot] as number, shape.pauses[slot] as number] as const]],
    ),
  ),
})

const extraField = (name: string, type: FieldSeries['type']): FieldSeries => ({
  name,
  type,
  slot: -1,
  key: fieldKey(name),
  hasPercentiles: false,
  counter: undefined,
  scale: 100,
  low: Number.NEGATIVE_INFINITY,
  high: Number.POSITIVE_INFINITY,
  lastValue: Number.NaN,
  watchedThroughMs: Number.NEGATIVE_INFINITY,
  watches: [],
  past: undefined,
})

/** The type of a column that a field of a contract takes. */
export const columnTypeOf = ({ type }: ContractField): FieldColumn['type'] =>
  type === 'float' || type === 'integer' ? 'number' : type

/**
 * Remembers a field that the contract does not have.
 * @param type in which its column is stored: text, when the values are sensitive
 * @returns undefined when there are too many
 */
export function extraOf({ shape }: DeviceSeries, field: string, type: FieldColumn['type']): FieldSeries | undefined {
  const known = shape.extras.get(field)
  if (known !== undefined || shape.extras.size >= EXTRA_FIELDS_MAX) return known
  const extra = extraField(field, type === 'number' ? 'float' : type)
  shape.extras.set(field, extra)
  return extra
}

export function observeShape(s: BatchScope, series: DeviceSeries, block: DeviceBlock): void {
  if (series.windows === undefined) return // not remembered: it would be told again with each block
  const { shape, fields } = series
  const before = shape.samples
  shape.samples += block.timesMs.length
  for (let c = 0; c < block.columns.length; c++) {
    const column = block.columns[c] as FieldColumn
    const field = layoutNamed(series, column.field)
    if (field === undefined) observeExtra(s, series, block, column)
    else {
      const seenAt = shape.seenAt[field.slot] as number
      if (seenAt >= 0 && seenAt <= before)
        shape.pauses[field.slot] = Math.max(shape.pauses[field.slot] as number, before - seenAt)
      shape.seenAt[field.slot] = shape.samples
      const rule = series.contract.fields[field.name] as ContractField
      if (columnTypeOf(rule) !== column.type)
        tellDrift(
          s,
          series,
          block,
          'changed_type',
          column.field,
          `came as ${column.type}; the contract says ${rule.type}`,
        )
    }
  }
  for (let slot = 0; slot < fields.length; slot++) {
    const pause = shape.pauses[slot] as number
    const missed = shape.samples - (shape.seenAt[slot] as number)
    if (pause >= 0 && missed > VANISHED_SAMPLES && missed > pause * VANISHED_PAUSES)
      tellDrift(s, series, block, 'vanished_field', (fields[slot] as FieldSeries).name, 'does not come any more')
  }
}

function observeExtra(s: BatchScope, series: DeviceSeries, block: DeviceBlock, column: FieldColumn): void {
  const { kind } = series.contract
  const type = s.context.privacy.sensitivityOf(kind, column.field) === 'none' ? column.type : 'string'
  const extra = extraOf(series, column.field, type)
  if (extra === undefined) {
    s.state.contracts.fieldsBeyond += 1
    return
  }
  const says = `the contract of ${kind} has no such field`
  tellDrift(s, series, block, 'new_field', column.field, `is new, as ${column.type}; ${says}`)
  if ((type === 'number' ? 'float' : type) !== extra.type)
    tellDrift(
      s,
      series,
      block,
      'changed_type',
      column.field,
      `came as ${column.type}, and as ${extra.type} before; ${says}`,
    )
}

const KEYS = { kind: fieldKey('kind'), message: fieldKey('message') }

function tellDrift(
  s: BatchScope,
  { site, device, contract: { kind }, shape }: DeviceSeries,
  { timesMs }: DeviceBlock,
  change: DriftChange,
  field: string,
  what: string,
): void {
  const key = `${change}/${field}`
  if (shape.told.has(key)) return
  shape.told.add(key)
  const drift = {
    site,
    device,
    kind,
    field,
    change,
    timeMs: timesMs[0] as number,
    message: `${field} of ${device} ${what}`,
  }
  const { lines } = s.effects
  const prefix = linePrefix('schema_drift', { site, device, field, change })
  lines.begin(prefix)
  lines.string(KEYS.kind, kind)
  lines.string(KEYS.message, drift.message)
  lines.end(prefix, drift.timeMs, 0, -1)
  s.effects.drifts.push(drift)
  const { contracts } = s.state
  contracts.driftCount += 1
  contracts.drifts.push(drift)
  if (contracts.drifts.length > DRIFTS_KEPT) contracts.drifts.shift()
}
