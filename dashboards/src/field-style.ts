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
 * range in a colour of its own, and nothing in between.
 * @param normal colour of what is within all limits
 */
export function thresholdSteps(contract: Contract, name: string, normal: string): ThresholdStep[] {
  const field = contract.fields[name]
  const range = field && 'range' in field ? field.range : undefined
  const limits = contract.thresholds.filter((t) => t.field === name)
  const colourAt = (value: number): string => {
    if (range && (value < range[0] || value > range[1])) return REFUSED
    const broken = limits.filter((t) => isBroken(t, value))
    for (const severity of ['critical', 'warning', 'info'] as const)
      if (broken.some((t) => t.severity === severity)) return SEVERITY_COLOURS[severity]
    return normal
  }
  const edges = [...limits.map((t) => t.above ?? t.below), ...(range ?? [])].filter((edge) => edge !== undefined)
  const ascending = [...new Set(edges)].sort((a, b) => a - b)
  const first = ascending[0]
  const steps: ThresholdStep[] = [{ value: null, color: first === undefined ? normal : colourAt(first - 1) }]
  ascending.forEach((edge, i) => {
    const next = ascending[i + 1]
    const color = colourAt(next === undefined ? edge + Math.max(1, Math.abs(edge)) : (edge + next) / 2)
    if (color !== steps.at(-1)?.color) steps.push({ value: edge, color })
  })
  return steps
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
