/** How a field of a contract looks: title, unit, colours of its limits, states. */
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import {
  MappingType,
  type Threshold as ThresholdStep,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contract, ContractField, Threshold } from '@tributary/protocol'
import { STATE_MAPPINGS } from './process-states.ts'

export const CRITICAL = 'red'
export const WARNING = 'orange'
export const GOOD = 'green'
export const QUIET = 'blue'
const REFUSED = 'purple'
const SEVERITY_COLOURS = { critical: CRITICAL, warning: WARNING, info: QUIET } as const

/** Unit in a contract → Grafana's unit id. Any other unit is written behind the number as it stands. */
const UNIT_IDS: Readonly<Record<string, string>> = {
  '': 'none',
  '%': 'percent',
  '°C': 'celsius',
  hPa: 'pressurehpa',
  V: 'volt',
  A: 'amp',
  W: 'watt',
  Wh: 'watth',
  Hz: 'suffix: Hz',
  B: 'bytes',
  s: 's',
  ms: 'ms',
}
/** Of what grows in a second: Grafana's unit id, and by how much to multiply to get there. */
export const rateUnit = (unit: string): { readonly id: string; readonly factor: number } =>
  RATES[unit] ?? { id: `suffix: ${unit}/s`, factor: 1 }
const RATES: Readonly<Record<string, { id: string; factor: number }>> = {
  B: { id: 'Bps', factor: 1 },
  Wh: { id: 'watt', factor: 3_600 },
}
export const unitId = (unit: string): string => UNIT_IDS[unit] ?? `suffix: ${unit}`

/** Fields worth showing, in the contract's order: everything but the sample counter. */
export const shownFields = (contract: Contract): [name: string, field: ContractField][] =>
  Object.entries(contract.fields).filter(
    ([, f]) => !(f.type === 'integer' && f.role === 'sequence') && f.sensitivity === 'none',
  )

/** The field's label; with its unit where two fields of the kind have the same label. */
export function titleOf(contract: Contract, name: string): string {
  const field = contract.fields[name]
  if (!field) throw new RangeError(`the contract ${contract.kind} has no field "${name}"`)
  const isDouble = Object.entries(contract.fields).some(([other, f]) => other !== name && f.label === field.label)
  return isDouble ? `${field.label} (${('unit' in field && field.unit) || name})` : field.label
}

/** "agent_health" → "Agent health". */
export const kindTitle = (kind: string): string => (kind[0] ?? '').toUpperCase() + kind.slice(1).replaceAll('_', ' ')

/**
 * The contract's limits as coloured bands: what pages someone in the colour of its severity, what is refused beyond the
 * range in a colour of its own, and nothing in between. A band begins at its edge, so that of an integer which must not be
 * above 0 begins at 1.
 * @param normal colour of what is within all limits
 */
export function thresholdSteps(contract: Contract, name: string, normal: string): ThresholdStep[] {
  const field = contract.fields[name]
  const range = field && 'range' in field ? field.range : undefined
  const isWhole = field?.type === 'integer'
  const limits = contract.thresholds.filter((t) => t.field === name)
  const colourAt = (value: number): string => {
    if (range && (value < range[0] || value > range[1])) return REFUSED
    const broken = limits.filter((t) => isBroken(t, value))
    for (const severity of ['critical', 'warning', 'info'] as const)
      if (broken.some((t) => t.severity === severity)) return SEVERITY_COLOURS[severity]
    return normal
  }
  const edges = limits.map((t) => edgeOf(t, isWhole))
  if (range) edges.push(edgeOf({ below: range[0] }, isWhole), edgeOf({ above: range[1] }, isWhole))
  const ascending = [...new Set(edges)].sort((a, b) => a - b)
  const first = ascending[0]
  const steps: ThresholdStep[] = [{ value: null, color: first === undefined ? normal : colourAt(first - 1) }]
  ascending.forEach((edge, i) => {
    const next = ascending[i + 1]
    const inside = next === undefined ? edge + Math.max(1, Math.abs(edge)) : (edge + next) / 2
    const color = colourAt(isWhole ? edge : inside)
    if (color !== steps.at(-1)?.color) steps.push({ value: edge, color })
  })
  return steps
}

/** Where a limit's band ends or begins: of whole numbers at the first one that is above it, or not below it. */
function edgeOf({ above, below }: Pick<Threshold, 'above' | 'below'>, isWhole: boolean): number {
  const edge = (above ?? below) as number
  if (!isWhole) return edge
  return above === undefined ? Math.ceil(edge) : Math.floor(edge) + 1
}

/** "warning < 2, > 35, critical beyond ±45"; '' where there is no limit. */
export function limitsText(contract: Contract, name: string): string {
  const limits = contract.thresholds.filter((t) => t.field === name)
  const texts = (['info', 'warning', 'critical'] as const).flatMap((severity) => {
    const ofSeverity = limits.filter((t) => t.severity === severity)
    const above = ofSeverity.flatMap((t) => t.above ?? [])
    const below = ofSeverity.flatMap((t) => t.below ?? [])
    const signs = [
      ...below.filter((edge) => !above.includes(-edge)).map((edge) => `< ${edge}`),
      ...above.map((edge) => (below.includes(-edge) ? `beyond ±${edge}` : `> ${edge}`)),
    ]
    return signs.length > 0 ? [`${severity} ${signs.join(', ')}`] : []
  })
  return texts.join(', ')
}

/** From where to where a gauge shows a field with limits: a little beyond them, and not beyond what its contract allows. */
export function gaugeRange(contract: Contract, name: string): readonly [number, number] {
  const field = contract.fields[name]
  const isWhole = field?.type === 'integer'
  const limits = contract.thresholds.filter((t) => t.field === name).map((t) => edgeOf(t, isWhole))
  const size = Math.max(...limits.map(Math.abs))
  const [least, most] = (field && 'range' in field && field.range) || [
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ]
  const isNear = (bound: number) => Math.abs(bound) <= 10 * size
  const isOpen = (side: 'above' | 'below') =>
    contract.thresholds.every((t) => t.field !== name || t[side] === undefined)
  const low = isOpen('below') ? (isNear(least) ? least : Math.min(0, ...limits)) : Math.min(...limits)
  const high = isOpen('above') ? (isNear(most) ? most : 2 * size) : Math.max(...limits)
  const margin = (high - low) / 5 || 1
  const ends = [low - (isOpen('below') ? 0 : margin), high + (isOpen('above') ? 0 : margin)] as const
  const [from, to] = isWhole ? [Math.floor(ends[0]), Math.ceil(ends[1])] : ends
  return [Math.max(least, from), Math.min(most, to)]
}

const isBroken = (t: Threshold, value: number): boolean =>
  t.above !== undefined ? value > t.above : t.below !== undefined && value < t.below

export const thresholds = (steps: ThresholdStep[]): Builder<ReturnType<ThresholdsConfigBuilder['build']>> =>
  new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps)

const STATE_COLOURS = ['blue', 'purple', 'gray', 'green', 'yellow', 'super-light-blue'] as const

/** Names and colours of booleans and listed strings. A boolean with a limit on `true` is a fault when it is true. */
export function stateMappings(contract: Contract, name: string): ValueMapping[] {
  const field = contract.fields[name]
  if (field?.type === 'boolean') {
    const isFault = contract.thresholds.some((t) => t.field === name)
    return [
      {
        type: MappingType.ValueToText,
        options: {
          true: { text: isFault ? 'yes' : 'on', color: isFault ? CRITICAL : GOOD, index: 0 },
          false: { text: isFault ? 'no' : 'off', color: isFault ? GOOD : 'gray', index: 1 },
        },
      },
    ]
  }
  if (name === 'state' && contract.kind.endsWith('_health')) return STATE_MAPPINGS
  if (field?.type === 'string' && field.values)
    return [
      {
        type: MappingType.ValueToText,
        options: Object.fromEntries(
          field.values.map((value, index) => [
            value,
            { text: value, color: STATE_COLOURS[index % STATE_COLOURS.length] ?? 'blue', index },
          ]),
        ),
      },
    ]
  return []
}
