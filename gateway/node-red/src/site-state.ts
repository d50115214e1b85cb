/** What every device measures now, and did in the last hour, from the batches that come by. Bounded, whatever comes. */
import type { Batch, ContractField, Contracts, FieldColumn } from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'
import { createLastHour, type LastHour } from './last-hour.ts'

export const DEVICES_MAX = 500
export const SERIES_MAX = 2_000

export interface FieldState {
  readonly field: string
  readonly contract: ContractField
  value: number | boolean | string
  /** Of numbers that are shown as lines. */
  readonly hour: LastHour | undefined
}
export interface DeviceState {
  readonly device: string
  readonly kind: string
  agent: string
  /** Event time of its newest sample. */
  timeMs: number
  /** When that came, on the monotonic clock. */
  heardAtMs: number
  readonly fields: Map<string, FieldState>
}

export interface SiteState {
  take(batch: Batch): void
  /** By kind and device. */
  readonly devices: ReadonlyMap<string, DeviceState>
  /** Devices and series beyond the limits: known, and not kept. */
  readonly beyond: number
}

export function createSiteState(contracts: Contracts, { clock }: { clock: Clock }): SiteState {
  const devices = new Map<string, DeviceState>()
  const beyond = new Set<string>()
  let series = 0

  const deviceOf = (kind: string, device: string, agent: string): DeviceState | undefined => {
    const key = `${kind}/${device}`
    const known = devices.get(key)
    if (known) return known
    if (devices.size >= DEVICES_MAX) return void noteBeyond(key)
    const made = { device, kind, agent, timeMs: 0, heardAtMs: 0, fields: new Map() }
    devices.set(key, made)
    return made
  }
  const noteBeyond = (key: string) => {
    if (beyond.size < SERIES_MAX) beyond.add(key)
  }
  const fieldOf = (state: DeviceState, field: string): FieldState | undefined => {
    const known = state.fields.get(field)
    if (known) return known
    const fields = contracts.get(state.kind)?.fields
    const contract = fields && Object.hasOwn(fields, field) ? fields[field] : undefined
    // What the contract does not know is refused anyhow; what is sensitive is for nobody's eyes.
    if (contract?.sensitivity !== 'none') return undefined
    if (series >= SERIES_MAX) return void noteBeyond(`${state.kind}/${state.device}/${field}`)
    series += 1
    const isLine = (contract.type === 'float' || contract.type === 'integer') && contract.role === undefined
    const made: FieldState = { field, contract, value: '', hour: isLine ? createLastHour() : undefined }
    state.fields.set(field, made)
    return made
  }
  return {
    devices,
    get beyond() {
      return beyond.size
    },
    take({ header, blocks }) {
      const nowMs = clock.monotonicMs()
      for (const { device, kind, timesMs, columns } of blocks) {
        const state = timesMs.length > 0 && contracts.has(kind) ? deviceOf(kind, device, header.agent) : undefined
        if (!state) continue
        const newestMs = timesMs.at(-1) as number
        const isNewest = newestMs >= state.timeMs
        if (isNewest) Object.assign(state, { agent: header.agent, timeMs: newestMs })
        state.heardAtMs = nowMs
        for (const column of columns) {
          const field = fieldOf(state, column.field)
          if (field && fits(field.contract, column)) takeColumn(field, column, timesMs, isNewest)
        }
      }
    },
  }
}

const fits = ({ type }: ContractField, column: FieldColumn): boolean =>
  type === 'float' || type === 'integer' ? column.type === 'number' : type === column.type

function takeColumn(field: FieldState, column: FieldColumn, timesMs: Float64Array, isNewest: boolean): void {
  const { present, values } = column
  let last: number | string | undefined
  for (let i = 0; i < timesMs.length; i++) {
    if (present && present[i] === 0) continue
    last = values[i]
    if (field.hour && Number.isFinite(last)) field.hour.add(timesMs[i] as number, last as number)
  }
  if (isNewest && last !== undefined) field.value = column.type === 'boolean' ? last === 1 : last
}
