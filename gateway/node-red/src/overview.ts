/** What the page shows, as one message: what is wrong, how the gateway and the agents are, what every device measures. */
import type { GatewayStatus } from '@tributary/gateway'
import type { LocalAlert } from './alert-book.ts'
import { isAgentSilent, partsOf, type Silence } from './local-alerts.ts'
import type { DeviceState, FieldState } from './site-state.ts'

/** More would be no overview. */
export const OVERVIEW_DEVICES_MAX = 100
const OVERVIEW_ALERTS_MAX = 50
/** Fewer are on their way. */
const BACKLOG_BATCHES_MIN = 5

export interface OverviewAgent {
  readonly agent: string
  readonly state: 'live' | 'silent'
  /** Seconds since its last batch; null: not since the gateway started. */
  readonly heardSecondsAgo: number | null
  readonly readings: number
  /** What it says of itself: "12 batches", "spool 3 %", "clock not trusted". */
  readonly notes: readonly string[]
}
export interface OverviewField {
  readonly field: string
  readonly label: string
  readonly value: string
  readonly unit: string
  /** The worst open alert of it. */
  readonly severity: string | null
  /** A mean a minute, oldest first; null where there was none; undefined when it is no line. */
  readonly hour: readonly (number | null)[] | undefined
}
export interface OverviewDevice {
  readonly device: string
  readonly kind: string
  readonly agent: string
  readonly heardSecondsAgo: number
  readonly silent: boolean
  readonly fields: readonly OverviewField[]
}
export interface Overview {
  readonly site: string
  readonly gateway: string
  readonly atMs: number
  /** Why no live samples come in; null: they do. */
  readonly problem: string | null
  readonly cloud: {
    readonly connected: boolean
    readonly batches: number
    readonly bytes: number
    readonly drainSeconds: number
  } | null
  readonly spoolPercent: number | null
  readonly alerts: readonly LocalAlert[]
  readonly alertsMore: number
  readonly agents: readonly OverviewAgent[]
  readonly devices: readonly OverviewDevice[]
  readonly devicesMore: number
  /** Batches and samples that were left out for this view alone: it was too slow for them. Nothing is lost of them. */
  readonly leftOut: number
}

export interface OverviewParts extends Silence {
  readonly site: string
  readonly gateway: string
  readonly status: GatewayStatus | undefined
  readonly problem: string | undefined
  readonly alerts: readonly LocalAlert[]
  readonly devices: ReadonlyMap<string, DeviceState>
  readonly devicesBeyond: number
  readonly leftOut: number
  readonly monotonicMs: number
}

export function overviewOf(parts: OverviewParts): Overview {
  const { status, alerts, devices, wallMs } = parts
  const measuring = [...devices.values()]
    .filter(({ kind }) => !isHealth(kind))
    .sort((a, b) => compare(nameOf(a), nameOf(b)))
  return {
    site: parts.site,
    gateway: parts.gateway,
    atMs: wallMs,
    problem: parts.problem ?? null,
    cloud: status
      ? {
          connected: status.natsConnected,
          batches: status.backlog.batches,
          bytes: status.backlog.bytes,
          drainSeconds: status.backlog.drainSeconds,
        }
      : null,
    spoolPercent: status ? Math.round((status.spool.bytesUsed / status.spool.bytesMax) * 1_000) / 10 : null,
    alerts: alerts.slice(0, OVERVIEW_ALERTS_MAX),
    alertsMore: Math.max(0, alerts.length - OVERVIEW_ALERTS_MAX),
    agents: status ? agentsOf(status, devices, parts) : [],
    devices: measuring.slice(0, OVERVIEW_DEVICES_MAX).map((state) => deviceOf(state, parts)),
    devicesMore: Math.max(0, measuring.length - OVERVIEW_DEVICES_MAX) + parts.devicesBeyond,
    leftOut: parts.leftOut,
  }
}

const isHealth = (kind: string) => kind.endsWith('_health')
const nameOf = ({ device, kind }: DeviceState) => `${kind}/${device}`
const compare = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true })

function agentsOf(status: GatewayStatus, devices: ReadonlyMap<string, DeviceState>, silence: Silence): OverviewAgent[] {
  return status.agents
    .filter(({ agent }) => agent !== status.gateway)
    .map((one) => ({
      agent: one.agent,
      state: isAgentSilent(one, silence) ? ('silent' as const) : ('live' as const),
      heardSecondsAgo: one.lastSeenMs === 0 ? null : Math.max(0, Math.round((silence.wallMs - one.lastSeenMs) / 1_000)),
      readings: one.readings,
      notes: notesOf(devices.get(`agent_health/${one.agent}`)),
    }))
    .sort((a, b) => compare(a.agent, b.agent))
}

function notesOf(health: DeviceState | undefined): string[] {
  const number = (field: string) => {
    const value = health?.fields.get(field)?.value
    return typeof value === 'number' ? value : 0
  }
  return [
    ...(health?.fields.get('clock_trusted')?.value === false ? ['clock not trusted'] : []),
    ...(number('inputs_down') > 0
      ? [`${number('inputs_down')} ${number('inputs_down') === 1 ? 'input' : 'inputs'} down`]
      : []),
    ...(number('backlog_batches') >= BACKLOG_BATCHES_MIN ? [`${number('backlog_batches')} batches wait there`] : []),
    ...(number('spool_used_percent') >= 1 ? [`spool ${Math.round(number('spool_used_percent'))} %`] : []),
  ]
}

function deviceOf(state: DeviceState, { alerts, wallMs, monotonicMs }: OverviewParts): OverviewDevice {
  const { device, kind, agent, heardAtMs } = state
  const keyEnd = `/${kind}/${device}`
  return {
    device,
    kind,
    agent,
    heardSecondsAgo: Math.max(0, Math.round((monotonicMs - heardAtMs) / 1_000)),
    silent: alerts.some(({ key }) => key === `silent${keyEnd}` || key === `agent/${agent}`),
    fields: [...state.fields.values()]
      .filter(({ contract }) => !('role' in contract && contract.role === 'sequence'))
      .map((field) =>
        fieldOf(field, alerts.find(({ key }) => key.endsWith(`${keyEnd}/${field.field}`))?.severity ?? null, wallMs),
      ),
  }
}

function fieldOf({ field, contract, value, hour }: FieldState, severity: string | null, wallMs: number): OverviewField {
  const [text, unit] = partsOf(value, contract)
  return {
    field,
    label: contract.label,
    value: text,
    unit,
    severity,
    hour: hour?.means(wallMs).map((mean) => mean && Number(mean.toPrecision(6))),
  }
}
