/**
 * What is wrong, as far as this machine alone can tell: values beyond a contract's limits, devices and agents that are silent, a
 * backlog that grows. No detector, no notification, no history: those are the processor's. Pure.
 */
import type { GatewayStatus } from '@tributary/gateway'
import type { Contract, Contracts } from '@tributary/protocol'
import type { DeviceState, FieldState } from './site-state.ts'

export type Severity = 'critical' | 'warning' | 'info'

export interface Condition {
  /** Names it over time. */
  readonly key: string
  readonly severity: Severity
  /** "pump-1 Bearing temperature" */
  readonly subject: string
  /** "83.2 °C, above 80 °C" */
  readonly what: string
}

/** Without a threshold of its own a device may be silent for so many of its intervals. */
const SILENT_INTERVALS = 10
const SILENT_MS_MIN = 15_000
export const AGENT_SILENT_MS = 30_000
const SPOOL_FULL_PERCENT = 80

export interface SiteFacts extends Silence {
  readonly contracts: Contracts
  readonly devices: Iterable<DeviceState>
  /** Undefined: the gateway does not answer. */
  readonly status: GatewayStatus | undefined
  /** Live samples come in; why not, otherwise. */
  readonly tapProblem: string | undefined
  readonly isBacklogGrowing: boolean
  readonly monotonicMs: number
  /** Whether the condition held a moment ago: hysteresis needs it. */
  readonly isOpen: (key: string) => boolean
}

export function localConditions(facts: SiteFacts): Condition[] {
  const { status, tapProblem } = facts
  const silentAgents = new Set(status?.agents.filter((agent) => isAgentSilent(agent, facts)).map(({ agent }) => agent))
  return [
    ...(status && tapProblem === undefined
      ? []
      : [
          condition(
            'gateway/link',
            'critical',
            'Gateway',
            `gives no live samples: ${tapProblem ?? 'it does not answer'}`,
          ),
        ]),
    ...(status ? gatewayConditions(status, facts.isBacklogGrowing) : []),
    ...[...silentAgents].map((agent) => condition(`agent/${agent}`, 'critical', `Agent ${agent}`, 'is silent')),
    ...[...facts.devices].flatMap((device) => deviceConditions(device, facts, silentAgents)),
  ]
}

const condition = (key: string, severity: Severity, subject: string, what: string): Condition => ({
  key,
  severity,
  subject,
  what,
})

type AgentStatus = GatewayStatus['agents'][number]
export function isAgentSilent({ agent, connected, lastSeenMs }: AgentStatus, { mayBeQuiet, wallMs }: Silence): boolean {
  if (mayBeQuiet.includes(agent)) return false
  return !connected || (lastSeenMs > 0 && wallMs - lastSeenMs > AGENT_SILENT_MS)
}
export interface Silence {
  /** The gateway itself, and the agent of flows, which speak when they have something to say. */
  readonly mayBeQuiet: readonly string[]
  readonly wallMs: number
}

function gatewayConditions({ natsConnected, spool, backlog }: GatewayStatus, isGrowing: boolean): Condition[] {
  const usedPercent = Math.round((spool.bytesUsed / spool.bytesMax) * 100)
  return [
    ...(natsConnected
      ? []
      : [condition('gateway/cloud', 'warning', 'Cloud', 'cannot be reached: batches wait on this gateway')]),
    ...(spool.failing === null
      ? []
      : [condition('gateway/spool', 'critical', 'Gateway', `takes nothing: ${spool.failing}`)]),
    ...(usedPercent < SPOOL_FULL_PERCENT
      ? []
      : [condition('gateway/room', 'warning', 'Gateway', `has used ${usedPercent} % of its room for batches`)]),
    ...(isGrowing
      ? [condition('gateway/backlog', 'warning', 'Backlog', `grows: ${backlog.batches} batches wait`)]
      : []),
  ]
}

function deviceConditions(state: DeviceState, facts: SiteFacts, silentAgents: ReadonlySet<string>): Condition[] {
  const contract = facts.contracts.get(state.kind)
  if (!contract) return []
  const silentMs = contract.detectors.silence ?? Math.max(SILENT_MS_MIN, SILENT_INTERVALS * contract.interval)
  const heardMsAgo = facts.monotonicMs - state.heardAtMs
  if (heardMsAgo > silentMs) {
    // One dead link is one alert, not one a device.
    if (silentAgents.has(state.agent) || facts.tapProblem !== undefined || facts.mayBeQuiet.includes(state.agent))
      return []
    return [
      condition(
        `silent/${state.kind}/${state.device}`,
        'warning',
        state.device,
        `is silent for more than ${Math.round(silentMs / 1_000)} s`,
      ),
    ]
  }
  return [...state.fields.values()].flatMap((field) => valueConditions(state, field, contract, facts.isOpen))
}

function valueConditions(
  { device, kind }: DeviceState,
  { field, contract: of, value }: FieldState,
  contract: Contract,
  isOpen: (key: string) => boolean,
): Condition[] {
  const number = typeof value === 'boolean' ? Number(value) : value
  if (typeof number !== 'number') return []
  const subject = `${device} ${of.label}`
  const found: Condition[] = []
  if ('range' in of && of.range && (number < of.range[0] || number > of.range[1]))
    found.push(
      condition(
        `range/${kind}/${device}/${field}`,
        'critical',
        subject,
        `${say(number, of)}, not within ${of.range[0]} to ${say(of.range[1], of)}`,
      ),
    )
  for (const limit of contract.thresholds) {
    if (limit.field !== field) continue
    const [side, bound] =
      limit.above === undefined ? (['below', limit.below as number] as const) : (['above', limit.above] as const)
    const key = `${side}_${bound}/${kind}/${device}/${field}`
    const slack = isOpen(key) ? limit.hysteresis : 0
    const isBroken = side === 'above' ? number > bound - slack : number < bound + slack
    if (isBroken) found.push(condition(key, limit.severity, subject, `${say(number, of)}, ${side} ${say(bound, of)}`))
  }
  return worstOfEachSide(found)
}

/** Above 35 and above 45 is one story. */
function worstOfEachSide(found: readonly Condition[]): Condition[] {
  const order = { critical: 0, warning: 1, info: 2 }
  const sideOf = ({ key }: Condition) => key.split('_')[0] as string
  const bySide = new Map<string, Condition>()
  for (const one of found) {
    const before = bySide.get(sideOf(one))
    if (!before || order[one.severity] < order[before.severity]) bySide.set(sideOf(one), one)
  }
  return [...bySide.values()]
}

/** A value as a person reads it, with its unit. */
export const say = (value: FieldState['value'], of: FieldState['contract']): string =>
  partsOf(value, of).filter(Boolean).join(' ')

/** The value and its unit; bytes in the unit that fits. */
export function partsOf(value: FieldState['value'], of: FieldState['contract']): [value: string, unit: string] {
  if (typeof value !== 'number') return [typeof value === 'boolean' ? (value ? 'yes' : 'no') : value, '']
  if (of.type !== 'float' && of.type !== 'integer') return [String(value), '']
  if (of.unit !== 'B') return [value.toFixed(of.decimals), of.unit]
  const steps = ['B', 'kB', 'MB', 'GB', 'TB']
  const step = Math.min(steps.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1) / 3)))
  return [(value / 1_000 ** step).toFixed(step === 0 ? 0 : 1), steps[step] as string]
}
