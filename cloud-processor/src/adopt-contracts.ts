/**
 * A partition goes over to other contracts, between two messages. Windows of kinds that change are written as they stand; what was
 * remembered of a field that became another (its type in the store, its sensitivity) is forgotten, as its values must not show again.
 */
import type { Contract } from '@tributary/protocol'
import { storedType } from '@tributary/protocol'
import type { StepContext } from './batch-scope.ts'
import { lacksLead, settleCounters } from './count-rows.ts'
import { forgetCarry, forgetCounter } from './counter.ts'
import { fieldsOfTogether } from './detectors/index.ts'
import type { Effects } from './effects.ts'
import { isInDoubt } from './prior-life.ts'
import { raiseRow } from './raise-row.ts'
import { forgetFieldOfPart } from './rolled-up-part.ts'
import { type DeviceSeries, type FieldSeries, REVISION_KEY } from './series.ts'
import { renumberSlots } from './sketch.ts'
import { addDirty, allSeries, type PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { CELLS, type WindowRow, type Windows } from './window.ts'
import { writeRow } from './window-lines.ts'

/** @returns the state to go on with. @param effects gets the lines of windows */
export function adoptContracts(
  state: PartitionState,
  next: Pick<StepContext, 'contracts' | 'contractsVersion' | 'contractsSource' | 'privacy'>,
  effects: Pick<Effects, 'rollups'>,
): PartitionState {
  const before = new Map<string, DeviceSeries>()
  const isChanged = new Map<Contract, boolean>()
  const changed = ({ contract }: DeviceSeries) => {
    let is = isChanged.get(contract)
    if (is === undefined) {
      is = JSON.stringify(contract) !== JSON.stringify(next.contracts.get(contract.kind))
      isChanged.set(contract, is)
    }
    return is
  }
  for (const series of allSeries(state)) {
    if (!changed(series)) continue
    before.set(keyOf(series), series)
    raiseRows(state, series)
    writeRows(state, series, effects)
  }
  forgetWhatWasSaid(state, next)
  const adopted = decodeState(encodeState(state), next.contracts)
  for (const series of allSeries(adopted)) {
    const { shape, contract } = series
    for (const [field, { type }] of shape.extras)
      if (
        series.layout.slotOf.has(field) ||
        (type !== 'string' && next.privacy.sensitivityOf(contract.kind, field) !== 'none')
      )
        shape.extras.delete(field)
    const old = before.get(keyOf(series))
    if (old === undefined) continue
    shape.told.clear()
    for (const field of series.fields) {
      const was = old.contract.fields[field.name]
      const is = contract.fields[field.name]
      if (was && is && (storedType(was) !== storedType(is) || was.sensitivity !== is.sensitivity)) {
        field.lastValue = Number.NaN
        forgetCells(series, field)
      }
    }
  }
  Object.assign(adopted.contracts, { version: next.contractsVersion, source: next.contractsSource })
  return adopted
}

/** Anomalies, open alerts, and notifications that wait: those of fields that are sensitive now must not tell their values. */
function forgetWhatWasSaid(
  state: PartitionState,
  { privacy, contracts }: Pick<StepContext, 'privacy' | 'contracts'>,
): void {
  /** Without a field it is about those that its detector watches together; where no detector is known, about any of the kind. */
  const fieldsOf = ({ kind, field, detector }: { kind: string; field: string; detector?: string }): string[] => {
    if (field !== '') return [field]
    return detector === undefined ? Object.keys(contracts.get(kind)?.fields ?? {}) : fieldsOfTogether(detector)
  }
  const isSensitive = (of: { kind: string; field: string; detector?: string }) =>
    fieldsOf(of).some((field) => privacy.sensitivityOf(of.kind, field) !== 'none')
  const untold = { value: Number.NaN, expected: null, lower: null, upper: null }
  const silent = <T extends { field: string }>(of: T): T => ({
    ...of,
    ...untold,
    message: `${of.field || 'a field of it'} is sensitive now: its values are not told`,
  })
  state.anomalies = state.anomalies.filter((anomaly) => !isSensitive(anomaly))
  const { episodes } = state.alerts
  for (const [key, episode] of Object.entries(episodes)) if (isSensitive(episode)) episodes[key] = silent(episode)
  for (const queues of [state.outbox.queues, state.outbox.standing ?? {}])
    for (const [receiver, queue] of Object.entries(queues))
      queues[receiver] = queue.map(({ transition, episodes, ...rest }) => ({
        ...rest,
        transition: isSensitive(transition) ? silent(transition) : transition,
        ...(episodes && {
          episodes: episodes.map((one) => (isSensitive(one) ? { ...one, message: silent(one).message } : one)),
        }),
      }))
  const { firing, bundles } = state.desk
  for (const alert of Object.values(firing))
    if (isSensitive(alert.transition)) alert.transition = silent(alert.transition)
  for (const bundle of Object.values(bundles))
    bundle.items = bundle.items.map((item) =>
      isSensitive(item.transition) ? { ...item, transition: silent(item.transition) } : item,
    )
}

const keyOf = ({ site, device, contract }: DeviceSeries): string => `${site}/${device}/${contract.kind}`

/** Wider rows get what they are to be written with. */
function raiseRows(state: PartitionState, series: DeviceSeries): void {
  const allWindows = series.windows ?? []
  const onMerged = (wider: number, startMs: number, parent: WindowRow | undefined, isCertain: boolean) => {
    if (parent && isCertain) return
    if (parent) parent.uncertain = true
    addDirty(state, series, (allWindows[wider] as Windows).widthMs, startMs)
  }
  for (const [w, { rows }] of allWindows.entries())
    for (const row of rows.values()) {
      raiseRow(series, w, row, onMerged)
      if (w === 0) settleCounters(series, row, onMerged)
    }
}

function writeRows(state: PartitionState, series: DeviceSeries, { rollups }: Pick<Effects, 'rollups'>): void {
  const agent = state.agents.get(series.agent)
  for (const [w, windows] of (series.windows ?? []).entries())
    for (const row of windows.rows.values()) {
      if (!row.changed) continue
      if (lacksLead(row, windows)) row.uncertain = true
      const isHeldBack = agent !== undefined && isInDoubt(agent)
      if (isHeldBack || row.uncertain) addDirty(state, series, windows.widthMs, row.startMs)
      if (!isHeldBack) {
        state.counters.windowsWritten += 1
        writeRow(rollups, series.windowPrefixes[w] as Uint8Array, series.layout.windowKeys, REVISION_KEY, row, windows)
      }
    }
}

function forgetCells(series: DeviceSeries, { name, slot, counter }: FieldSeries): void {
  const others = series.fields.map((field) => (field.slot === slot ? undefined : field.slot))
  const forget = (row: WindowRow) => {
    row.cells.fill(0, slot * CELLS, (slot + 1) * CELLS)
    if (row.strings) row.strings[slot] = undefined
    if (row.sketch) row.sketch = renumberSlots(row.sketch, others)
    if (counter !== undefined && row.counters) forgetCounter(row.counters, counter)
    row.loose = row.loose?.filter((one) => one.counter !== counter)
    forgetFieldOfPart(row, name)
  }
  for (const { rows, late, carry } of series.windows ?? []) {
    for (const row of [...rows.values(), ...late.values()]) forget(row)
    if (counter !== undefined) forgetCarry(carry, counter)
  }
}
