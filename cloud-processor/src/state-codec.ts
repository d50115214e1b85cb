/**
 * The state of a partition as bytes: "TRCP", version (u32), length of the JSON (u32), the JSON, then the series one after another
 * (`packed-values.ts`), then the numbers of all their rows in the order in which the series name them. Little-endian. Before version
 * 3 the series stood in the JSON, and the numbers were doubles, after zero to seven bytes of filling.
 */
import type { Contracts } from '@tributary/protocol'
import { UserError } from '@tributary/runtime'
import { type AlertState, type DeskState, startDesk } from './alerts/index.ts'
import type { ContractMemory } from './contract-memory.ts'
import type { Run, Sequences } from './deduplicate.ts'
import type { DetectorState, SilenceState } from './detectors/index.ts'
import type { ViolationState } from './detectors/violations.ts'
import { NO_VERSION, type RegistryVersion } from './device-journal.ts'
import type { DeviceThreshold } from './device-record.ts'
import { type DirtySpan, spanKeyOf } from './dirty-spans.ts'
import type { Loss } from './losses.ts'
import type { OutboxState } from './notifiers/index.ts'
import { PackedReader, PackedWriter } from './packed-values.ts'
import { RowReader, RowWriter, type SavedWindows } from './row-codec.ts'
import { createSeries, type DeviceSeries, type FieldSeries, type SavedWatches, type Watch } from './series.ts'
import { type SavedShape, saveShape } from './shape.ts'
import {
  type AgentState,
  addDirty,
  addSeries,
  allSeries,
  type Counters,
  createState,
  type DirtyWindow,
  dirtyKeyOf,
  type EpochState,
  type LetterCount,
  type LossCount,
  type PartitionState,
  type RecordedAnomaly,
  type Totals,
} from './state.ts'
import { type AgentOfVersion1, agentOfVersion1 } from './state-version-1.ts'

/** Versions 1 (before gaps could be explained, and losses had reasons) and 2 (before sketches, and wide windows) are read. */
export const STATE_VERSION = 3
const STATE_VERSION_MIN = 1
const MAGIC = 0x50435254

interface SavedSeries {
  site: string
  device: string
  kind: string
  agent: string
  newestMs: number | null
  heardAtMs?: number | null
  left?: true
  violations?: ViolationState
  ownThresholds?: DeviceThreshold[]
  watches: Record<
    string,
    [
      lastValue: number | null,
      watchedThroughMs: number | null,
      states: Record<string, unknown>,
      past?: [throughMs: number, states: Record<string, unknown>],
    ]
  >
  silence: SilenceState | null
  /** Not in checkpoints from before schemas were watched. */
  shape?: SavedShape
  windows: SavedWindows[] | null
  /** Not before version 3. */
  lateAtMs?: number | null
}
/** Names of the fields, and of the counters, as the cells of a kind's rows have them: a contract may have changed since. */
interface SavedKind {
  fields: string[]
  counters: string[]
}
/** Before version 3. */
type SeriesInJson = SavedSeries & Pick<SavedKind, 'fields'>
interface SavedState {
  streamCreated?: string
  streamSequence: number
  /** Not in the first checkpoints of version 2. */
  registryVersion?: RegistryVersion
  agents: SavedAgent[]
  /** Before version 3. */
  series?: SeriesInJson[]
  /** Of the series that are not in the JSON: how many, by kind what their rows have, and their shapes (see `packed-values.ts`). */
  packed?: { count: number; bytes: number; kinds: [string, SavedKind][]; shapes: string[][] }
  counters: Counters
  /** Not in checkpoints from before contracts were versioned. */
  contracts?: ContractMemory
  alerts: AlertState
  /** Not in the first checkpoints of version 3. */
  desk?: DeskState
  outbox: OutboxState
  dirty: DirtyWindow[]
  dirtySpans?: DirtySpan[]
  dirtyOverflow: number
  anomalies: RecordedAnomaly[]
}
type Saved<T> = { [K in keyof T]: T[K] extends number ? number | null : T[K] }
export type SavedRun = Saved<Run>
export interface SavedEpoch extends Saved<Omit<EpochState, 'sequences' | 'settled'>> {
  /** Not in the first checkpoints of version 2. */
  settled?: { forgottenThrough: number; generations: [string, number][] }
  sequences: Omit<Sequences, 'runs' | 'losses'> & { runs: SavedRun[]; losses: [string, Loss][] }
}
export interface SavedAgent
  extends Saved<
    Omit<AgentState, 'epochs' | 'letters' | 'series' | 'folded' | 'foldedLosses' | 'retired' | 'retiredThrough'>
  > {
  epochs: SavedEpoch[]
  folded: Totals
  foldedLosses: [string, LossCount][]
  retired: string[]
  /** Not in the first checkpoints of version 2. */
  retiredThrough?: AgentState['retiredThrough']
  letters: [string, LetterCount][]
}

/** JSON has no -Infinity: null stands for it (and for NaN, where only that can be). */
const orLowest = (value: number | null): number => value ?? Number.NEGATIVE_INFINITY
const orNaN = (value: number | null): number => value ?? Number.NaN

export function encodeState(state: PartitionState): Uint8Array {
  const rows = new RowWriter()
  const packed = new PackedWriter()
  const kinds = new Map<string, SavedKind>()
  let count = 0
  for (const series of allSeries(state)) {
    packed.value(savedSeries(series, rows))
    if (!kinds.has(series.contract.kind)) kinds.set(series.contract.kind, savedKind(series))
    count += 1
  }
  const values = packed.finish()
  const saved: SavedState = {
    streamCreated: state.streamCreated,
    streamSequence: state.streamSequence,
    registryVersion: state.registryVersion,
    agents: [...state.agents.values()].map(({ series: _, ...agent }) => ({
      ...agent,
      epochs: [...agent.epochs.values()].map((epoch) => ({
        ...epoch,
        sequences: { ...epoch.sequences, losses: [...epoch.sequences.losses] },
        settled: { ...epoch.settled, generations: [...epoch.settled.generations] },
      })),
      foldedLosses: [...agent.foldedLosses],
      letters: [...agent.letters],
    })),
    packed: { count, bytes: values.length, kinds: [...kinds], shapes: packed.shapes },
    counters: state.counters,
    contracts: state.contracts,
    alerts: state.alerts,
    desk: state.desk,
    outbox: state.outbox,
    dirty: [...state.dirty.values()],
    dirtySpans: [...state.dirtySpans.values()],
    dirtyOverflow: state.dirtyOverflow,
    anomalies: state.anomalies,
  }
  const json = Buffer.from(JSON.stringify(saved), 'utf8')
  const numbers = rows.finish()
  const bytes = new Uint8Array(12 + json.length + values.length + numbers.length)
  const header = new DataView(bytes.buffer)
  header.setUint32(0, MAGIC, true)
  header.setUint32(4, STATE_VERSION, true)
  header.setUint32(8, json.length, true)
  bytes.set(json, 12)
  bytes.set(values, 12 + json.length)
  bytes.set(numbers, 12 + json.length + values.length)
  return bytes
}

const savedKind = ({ fields }: DeviceSeries): SavedKind => ({
  fields: fields.map(({ name }) => name),
  counters: fields.filter(({ counter }) => counter !== undefined).map(({ name }) => name),
})

const statesOf = (watches: readonly Watch[]) =>
  Object.fromEntries(watches.map(({ detector, state }) => [detector.name, state]))

function savedField({ lastValue, watchedThroughMs, watches, past }: FieldSeries): SavedSeries['watches'][string] {
  const common = [lastValue, watchedThroughMs, statesOf(watches)] as const
  return past ? [...common, [past.throughMs, statesOf(past.watches)]] : [...common]
}

const savedSeries = (series: DeviceSeries, rows: RowWriter): SavedSeries => ({
  site: series.site,
  device: series.device,
  kind: series.contract.kind,
  agent: series.agent,
  newestMs: series.newestMs,
  heardAtMs: series.heardAtMs,
  ...(series.left ? { left: true as const } : {}),
  ...(series.violations ? { violations: series.violations } : {}),
  ...(series.ownThresholds.length > 0 ? { ownThresholds: [...series.ownThresholds] } : {}),
  watches: Object.fromEntries(series.fields.map((field) => [field.name, savedField(field)])),
  silence: series.silenceState ?? null,
  shape: saveShape(series),
  lateAtMs: series.lateAtMs,
  windows: series.windows?.map((windows) => rows.save(windows)) ?? null,
})

/**
 * @param contracts by which the series are made; a function is told by which the state was
 * @throws Error when the bytes are none, or of a later version. Series whose contract is gone are dropped.
 */
export function decodeState(
  bytes: Uint8Array,
  contracts: Contracts | ((memory: ContractMemory | undefined) => Contracts),
): PartitionState {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 12 || view.getUint32(0, true) !== MAGIC) throw new Error('these bytes are not a state')
  const version = view.getUint32(4, true)
  if (version < STATE_VERSION_MIN || version > STATE_VERSION)
    throw new UserError(
      `the checkpoint has version ${version}; this program reads ${STATE_VERSION_MIN} to ${STATE_VERSION}`,
      {
        hint: 'start the version that wrote it, or move the checkpoint folder away: the account and the windows begin anew then',
      },
    )
  const jsonLength = view.getUint32(8, true)
  const saved = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 12, jsonLength).toString('utf8')) as SavedState
  if (version === 1) saved.agents = (saved.agents as unknown as AgentOfVersion1[]).map(agentOfVersion1)
  const state = createState(saved.alerts)
  Object.assign(state, {
    streamCreated: saved.streamCreated ?? '',
    streamSequence: saved.streamSequence,
    registryVersion: saved.registryVersion ?? NO_VERSION,
    counters: { ...state.counters, ...saved.counters },
    contracts: { ...state.contracts, ...saved.contracts },
    desk: { ...startDesk(), ...saved.desk },
    outbox: saved.outbox,
    dirtyOverflow: saved.dirtyOverflow,
    anomalies: saved.anomalies,
  })
  for (const one of saved.dirty) state.dirty.set(dirtyKeyOf(one), one)
  for (const one of saved.dirtySpans ?? []) state.dirtySpans.set(spanKeyOf(one), one)
  for (const agent of saved.agents)
    state.agents.set(`${agent.site}/${agent.agent}`, {
      ...(agent as SavedAgent & AgentState),
      epochs: new Map(agent.epochs.map((epoch) => [epoch.epoch, restoreEpoch(epoch)])),
      foldedLosses: new Map(agent.foldedLosses),
      letters: new Map(agent.letters),
      retiredThrough: agent.retiredThrough ?? [],
      watermarkMs: orLowest(agent.watermarkMs),
      backlogSaidAtMs: orLowest(agent.backlogSaidAtMs),
      waitingSinceMs: orNaN(agent.waitingSinceMs),
      distrustedThroughMs: orLowest(agent.distrustedThroughMs),
      distrustedFromMs: orLowest(agent.distrustedFromMs),
      // Not in the first checkpoints of version 3.
      heardAtMs: orLowest(agent.heardAtMs ?? null),
      heardEveryMs: agent.heardEveryMs ?? 0,
      backSinceMs: agent.backSinceMs ?? 0,
      isGateway: agent.isGateway ?? false,
      unreachableSinceMs: agent.unreachableSinceMs ?? Number.NaN,
      series: [],
    })
  const known = typeof contracts === 'function' ? contracts(saved.contracts) : contracts
  if (saved.packed === undefined) {
    const rows = new RowReader(version, bytes.subarray(Math.ceil((12 + jsonLength) / 8) * 8))
    for (const one of saved.series ?? []) restoreSeries(state, one, one, known, rows)
    return state
  }
  const { count, bytes: length, kinds, shapes } = saved.packed
  const values = new PackedReader(bytes.subarray(12 + jsonLength, 12 + jsonLength + length), shapes)
  const rows = new RowReader(version, bytes.subarray(12 + jsonLength + length))
  const kindNamed = new Map(kinds)
  for (let i = 0; i < count; i++) {
    const one = values.value() as SavedSeries
    restoreSeries(state, one, kindNamed.get(one.kind) as SavedKind, known, rows)
  }
  return state
}

function restoreEpoch(epoch: SavedEpoch): EpochState {
  return {
    ...(epoch as SavedEpoch & EpochState),
    lastReceivedAtMs: orLowest(epoch.lastReceivedAtMs),
    newestMs: orLowest(epoch.newestMs),
    doubtSinceMs: orNaN(epoch.doubtSinceMs),
    settled: {
      forgottenThrough: epoch.settled?.forgottenThrough ?? 0,
      generations: new Map(epoch.settled?.generations),
    },
    sequences: {
      ...epoch.sequences,
      losses: new Map(epoch.sequences.losses),
      runs: epoch.sequences.runs.map((run) => ({
        ...(run as Run),
        before: orNaN(run.before),
        through: orNaN(run.through),
        completeThroughMs: orLowest(run.completeThroughMs),
      })),
    },
  }
}

function restoreSeries(
  state: PartitionState,
  saved: SavedSeries,
  { fields, counters = [] }: Pick<SavedKind, 'fields'> & Partial<SavedKind>,
  contracts: Contracts,
  rows: RowReader,
): void {
  const contract = contracts.get(saved.kind)
  const watches: SavedWatches = {
    silence: saved.silence ?? undefined,
    ownThresholds: saved.ownThresholds,
    fields: Object.fromEntries(
      Object.entries(saved.watches).map(([field, [lastValue, watchedThroughMs, states, past]]) => [
        field,
        {
          lastValue: orNaN(lastValue),
          watchedThroughMs: orLowest(watchedThroughMs),
          states: states as Record<string, DetectorState>,
          past: past && { throughMs: past[0], states: past[1] as Record<string, DetectorState> },
        },
      ]),
    ),
  }
  const series =
    contract &&
    createSeries(saved.site, saved.device, contract, saved.agent, {
      saved: watches,
      shape: saved.shape,
      withWindows: saved.windows !== null,
    })
  if (series) {
    series.left = saved.left ?? false
    series.violations = saved.violations
    series.newestMs = orLowest(saved.newestMs)
    series.lateAtMs = orLowest(saved.lateAtMs ?? null)
    series.heardAtMs = orLowest(saved.heardAtMs ?? saved.newestMs)
  }
  const lost = rows.restore(series, saved.windows ?? [], fields, counters)
  if (series === undefined) return
  addSeries(state, series)
  for (const [widthMs, startMs] of lost) addDirty(state, series, widthMs, startMs)
}
