/** What all series of a contract have in common, made once: hundreds of thousands of series share it, and so do the processor's caches. */
import {
  type Contract,
  type ContractField,
  outlierSizeOf,
  peerWidthMs,
  storedType,
  windowName,
  windowWidthsOf,
} from '@tributary/protocol'
import type { Counter } from './counter.ts'
import { fieldKey } from './line-protocol.ts'
import type { RowShape } from './window.ts'
import { SHARE_NAMES, type WindowKeys } from './window-lines.ts'

export interface FieldLayout {
  readonly name: string
  /** In the store. */
  readonly type: 'float' | 'integer' | 'boolean' | 'string'
  /** Its place in rows and in the fields of a series. */
  readonly slot: number
  readonly key: Uint8Array
  readonly hasPercentiles: boolean
  /** Its place among the counters of the series. */
  readonly counter: number | undefined
  /** Ten to the power of the contract's decimals. */
  readonly scale: number
  /** The contract's range; infinite when it has none. */
  readonly low: number
  readonly high: number
}

export interface ExpectedKeys {
  readonly slot: number
  readonly scale: number
  readonly lower: Uint8Array
  readonly upper: Uint8Array
}

export interface KindLayout {
  readonly fields: readonly FieldLayout[]
  readonly slotOf: ReadonlyMap<string, number>
  readonly rowShape: RowShape
  readonly widthsMs: readonly number[]
  /** Measurements of the windows, in the order of the widths. */
  readonly windowNames: readonly string[]
  readonly windowKeys: readonly WindowKeys[]
  /** Fields whose learned detector says what is ordinary, and what that is called. */
  readonly expected: readonly ExpectedKeys[]
  /** What is compared with other devices: fields and their slots, in windows of this width. */
  readonly peers:
    | { readonly fields: readonly string[]; readonly slots: readonly number[]; readonly widthMs: number }
    | undefined
}

const layouts = new WeakMap<Contract, KindLayout>()

export function layoutOf(contract: Contract): KindLayout {
  let layout = layouts.get(contract)
  if (layout === undefined) {
    layout = createLayout(contract)
    layouts.set(contract, layout)
  }
  return layout
}

function createLayout(contract: Contract): KindLayout {
  const counters: Counter[] = []
  const fields = Object.entries(contract.fields).map(([name, field], slot): FieldLayout => {
    const range = 'range' in field ? field.range : undefined
    const wrapsAt = ('wraps_at' in field ? field.wraps_at : undefined) ?? Number.POSITIVE_INFINITY
    const counter = isCounter(field) ? counters.push({ slot, wrapsAt }) - 1 : undefined
    return {
      name,
      type: storedType(field),
      slot,
      key: fieldKey(name),
      hasPercentiles: hasPercentiles(field),
      counter,
      scale: 'decimals' in field ? 10 ** field.decimals : 1,
      low: range?.[0] ?? Number.NEGATIVE_INFINITY,
      high: range?.[1] ?? Number.POSITIVE_INFINITY,
    }
  })
  const widthsMs = windowWidthsOf(contract)
  const slotOf = new Map(fields.map(({ name, slot }) => [name, slot]))
  const peers = contract.detectors.peers ?? []
  const widthMs = peerWidthMs(widthsMs, contract.interval)
  return {
    fields,
    slotOf,
    rowShape: { fieldCount: fields.length, hasSketch: fields.some((field) => field.hasPercentiles), counters },
    widthsMs,
    windowNames: widthsMs.map((widthMs) => `${contract.kind}_${windowName(widthMs)}`),
    windowKeys: fields.map(windowKeysOf),
    expected: fields.filter(({ name }) => outlierSizeOf(contract, name) !== undefined).map(expectedKeysOf),
    peers:
      peers.length > 0 && widthMs !== undefined
        ? { fields: peers, slots: peers.map((name) => slotOf.get(name) as number), widthMs }
        : undefined,
  }
}

const expectedKeysOf = ({ name, slot, scale }: FieldLayout): ExpectedKeys => ({
  slot,
  scale: scale * 10,
  lower: fieldKey(`${name}_lower`),
  upper: fieldKey(`${name}_upper`),
})

const windowKeysOf = ({ name, type, scale, hasPercentiles, counter }: FieldLayout): WindowKeys => ({
  type,
  // One more decimal place than the values have is where most means of few values end.
  scale: scale * 10,
  mean: fieldKey(`${name}_mean`),
  min: fieldKey(`${name}_min`),
  max: fieldKey(`${name}_max`),
  count: fieldKey(`${name}_count`),
  stddev: fieldKey(`${name}_stddev`),
  last: fieldKey(`${name}_last`),
  percentiles: hasPercentiles ? SHARE_NAMES.map((share) => fieldKey(`${name}_${share}`)) : undefined,
  sketched: fieldKey(`${name}_sketched`),
  counter,
  increase: fieldKey(`${name}_increase`),
  rate: fieldKey(`${name}_rate`),
  resets: fieldKey(`${name}_resets`),
})

/** Percentiles of what only grows say nothing. */
const hasPercentiles = (field: ContractField): boolean =>
  (field.type === 'float' || field.type === 'integer') && field.role === undefined && field.sensitivity === 'none'
const isCounter = (field: ContractField): boolean =>
  (field.type === 'float' || field.type === 'integer') && field.role === 'counter' && field.sensitivity === 'none'
