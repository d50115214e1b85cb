/** All that a partition remembers. Changed in place by `step` alone; `state-codec.ts` turns it to bytes and back. */
import { STORED_BEYOND_MAX } from '@tributary/protocol'
import { type AlertState, type DeskState, startDesk } from './alerts/index.ts'
import { type ContractMemory, createContractMemory } from './contract-memory.ts'
import { contiguousThrough, createSequences, producedReadings, type Sequences } from './deduplicate.ts'
import { NO_VERSION, type RegistryVersion } from './device-journal.ts'
import { type DirtySpan, widenSpan } from './dirty-spans.ts'
import { shedReadings } from './losses.ts'
import { type OutboxState, startOutbox } from './notifiers/index.ts'
import type { PeerGroup } from './peer-group.ts'
import type { DeviceSeries } from './series.ts'
import { createSettledLetters, type SettledLetters } from './settled-letters.ts'

export const DIRTY_MAX = 10_000
export const SERIES_MAX = 200_000
export const EPOCHS_MAX = 8
const RETIRED_MAX = 64

export interface LetterCount {
  letters: number
  readings: number
}

/** Readings and batches that were shed. */
export interface LossCount {
  readings: number
  batches: number
}

export interface EpochState {
  readonly epoch: string
  sequences: Sequences
  /** Readings of all batches received. */
  received: number
  stored: number
  deadLettered: number
  lastReceivedAtMs: number
  /** Highest sequence of the live lane. */
  newestLive: number
  /** No sample that was received, or went into a roll-up that was, has a later event time. */
  newestMs: number
  /** Since when it is not known what the store had of it before this state did; NaN when that is known. See `prior-life.ts`. */
  doubtSinceMs: number
  /** Readings taken over from the stored watermark of a state that was lost. */
  recovered: number
  /** Dead letters of it that were requeued or dropped. */
  settled: SettledLetters
}

export interface Totals {
  produced: number
  stored: number
  deadLettered: number
  shed: number
  missing: number
}

export interface AgentState {
  readonly site: string
  readonly agent: string
  epochs: Map<string, EpochState>
  /** Sums of epochs that are no longer kept one by one, what tombstones told of them, and their names. */
  folded: Totals
  foldedLosses: Map<string, LossCount>
  retired: string[]
  /** What was stored of each retired epoch: who keeps batches of it may not have heard. */
  retiredThrough: [epoch: string, sequence: number, beyond: [from: number, to: number][]][]
  /** `stage/reason` → count. */
  letters: Map<string, LetterCount>
  watermarkMs: number
  /** Batches, duplicates included. */
  batches: number
  /** What its newest live batch said of its spool, and when. */
  backlogBatches: number
  backlogSaidAtMs: number
  /** Since when a backlog waits; NaN while none does. How long backlogs waited before. See `gaps.ts`. */
  waitingSinceMs: number
  waitedMs: number
  /**
   * Windows with readings of that time or before are the store's business, and those that end after `distrustedFromMs` may never
   * have been written. See `prior-life.ts`.
   */
  distrustedThroughMs: number
  distrustedFromMs: number
  /** When the stream received something new of it, how far apart that usually is, and when it was back after a time of silence. See `link-watch.ts`. */
  heardAtMs: number
  heardEveryMs: number
  backSinceMs: number
  /** It delivers the health of a gateway: its own. */
  isGateway: boolean
  /** NaN; while it is unreachable: when it had been heard last. */
  unreachableSinceMs: number
  /** Devices that it delivers; some may have moved to another agent since. */
  series: DeviceSeries[]
}

export interface RecordedAnomaly {
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly field: string
  readonly detector: string
  readonly timeMs: number
  readonly value: number
  readonly score: number
  /** What stood to reason, and its bounds; these four are not in checkpoints from before they were kept. */
  readonly expected?: number | null
  readonly lower?: number | null
  readonly upper?: number | null
  /** Which view, or which of several fields, spoke; '' where there is one only. */
  readonly component?: string
  readonly message: string
  /** Of somebody who looked at it. */
  readonly feedback?: { readonly what: 'confirmed' | 'dismissed'; readonly by: string; readonly atMs: number }
}

export interface DirtyWindow {
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly widthMs: number
  readonly startMs: number
}

export interface Counters {
  batches: number
  duplicates: number
  readings: number
  deadLetters: number
  deadLetterReadings: number
  late: number
  lateBeyondMemory: number
  historical: number
  windowsWritten: number
  windowsRevised: number
  /** Windows that agents rolled up: merged; or not, because of the contract, or because readings of theirs came otherwise. */
  rolledUpMerged: number
  rolledUpRefused: number
  /** Dirty windows that were written over; and those whose row says already what the store has, or stands for what it has not. */
  windowsRepaired: number
  windowsKept: number
  anomalies: number
  /** Windows of devices beyond those that are compared with their peers. */
  peersBeyond: number
}

export interface PartitionState {
  /** When the stream was made that `streamSequence` is of, as the server says it. */
  streamCreated: string
  /** Highest sequence of the stream that is part of this state. */
  streamSequence: number
  /** The registry by which messages are processed; it changes with a checkpoint alone. */
  registryVersion: RegistryVersion
  readonly agents: Map<string, AgentState>
  /** site → device → one series a kind. */
  readonly sites: Map<string, Map<string, DeviceSeries[]>>
  /** Devices that are compared, by `site/kind`. */
  readonly peers: Map<string, PeerGroup>
  /** (Site, device, kind)s, and series (those with their fields). */
  deviceCount: number
  seriesCount: number
  counters: Counters
  contracts: ContractMemory
  alerts: AlertState
  /** Who was told of them, and what waits to be told. */
  desk: DeskState
  outbox: OutboxState
  /** Windows to be recomputed from the store. */
  readonly dirty: Map<string, DirtyWindow>
  /** What was more than that: all windows of a device and kind in a stretch of time. See `dirty-spans.ts`. */
  readonly dirtySpans: Map<string, DirtySpan>
  /** Windows that could not be entered at all. */
  dirtyOverflow: number
  /** The last hundred. */
  anomalies: RecordedAnomaly[]
}

export function createState(alerts: AlertState): PartitionState {
  return {
    streamCreated: '',
    streamSequence: 0,
    registryVersion: NO_VERSION,
    agents: new Map(),
    sites: new Map(),
    peers: new Map(),
    deviceCount: 0,
    seriesCount: 0,
    counters: {
      batches: 0,
      duplicates: 0,
      readings: 0,
      deadLetters: 0,
      deadLetterReadings: 0,
      late: 0,
      lateBeyondMemory: 0,
      historical: 0,
      windowsWritten: 0,
      windowsRevised: 0,
      rolledUpMerged: 0,
      rolledUpRefused: 0,
      windowsRepaired: 0,
      windowsKept: 0,
      anomalies: 0,
      peersBeyond: 0,
    },
    contracts: createContractMemory(),
    alerts,
    desk: startDesk(),
    outbox: startOutbox(),
    dirty: new Map(),
    dirtySpans: new Map(),
    dirtyOverflow: 0,
    anomalies: [],
  }
}

/** Two gateways may each have an agent of one name. */
export const agentKeyOf = ({ site, agent }: Pick<AgentState, 'site' | 'agent'>): string => `${site}/${agent}`

export function agentOf(state: PartitionState, site: string, agent: string): AgentState {
  const key = agentKeyOf({ site, agent })
  let found = state.agents.get(key)
  if (found === undefined) {
    found = {
      site,
      agent,
      epochs: new Map(),
      folded: { produced: 0, stored: 0, deadLettered: 0, shed: 0, missing: 0 },
      foldedLosses: new Map(),
      retired: [],
      retiredThrough: [],
      letters: new Map(),
      watermarkMs: Number.NEGATIVE_INFINITY,
      batches: 0,
      backlogBatches: 0,
      backlogSaidAtMs: Number.NEGATIVE_INFINITY,
      waitingSinceMs: Number.NaN,
      waitedMs: 0,
      distrustedThroughMs: Number.NEGATIVE_INFINITY,
      distrustedFromMs: Number.NEGATIVE_INFINITY,
      heardAtMs: Number.NEGATIVE_INFINITY,
      heardEveryMs: 0,
      backSinceMs: 0,
      isGateway: false,
      unreachableSinceMs: Number.NaN,
      series: [],
    }
    state.agents.set(key, found)
  }
  return found
}

/** @returns undefined when the epoch was folded into totals: nothing can be told of its batches any more */
export function epochOf(agent: AgentState, epoch: string): EpochState | undefined {
  const found = agent.epochs.get(epoch)
  if (found !== undefined) return found
  if (agent.retired.includes(epoch)) return undefined
  if (agent.epochs.size >= EPOCHS_MAX) foldOldest(agent)
  const created: EpochState = {
    epoch,
    sequences: createSequences(),
    received: 0,
    stored: 0,
    deadLettered: 0,
    lastReceivedAtMs: Number.NEGATIVE_INFINITY,
    newestLive: 0,
    newestMs: Number.NEGATIVE_INFINITY,
    doubtSinceMs: Number.NaN,
    recovered: 0,
    settled: createSettledLetters(),
  }
  agent.epochs.set(epoch, created)
  return created
}

function foldOldest(agent: AgentState): void {
  const oldest = [...agent.epochs.values()].reduce((a, b) => (b.lastReceivedAtMs < a.lastReceivedAtMs ? b : a))
  const totals = epochTotals(oldest)
  agent.folded.produced += totals.produced
  agent.folded.stored += totals.stored
  agent.folded.deadLettered += totals.deadLettered
  agent.folded.shed += totals.shed
  // Nothing of it is on its way any more: what did not come is missing.
  agent.folded.missing += totals.produced - totals.stored - totals.deadLettered - totals.shed
  for (const [reason, { readings, batches }] of oldest.sequences.losses) {
    const sum = agent.foldedLosses.get(reason) ?? { readings: 0, batches: 0 }
    agent.foldedLosses.set(reason, { readings: sum.readings + readings, batches: sum.batches + batches })
  }
  agent.retired.push(oldest.epoch)
  const beyond = oldest.sequences.runs.filter(({ from }) => from > 1).slice(0, STORED_BEYOND_MAX)
  agent.retiredThrough.push([
    oldest.epoch,
    contiguousThrough(oldest.sequences),
    beyond.map(({ from, to }) => [from, to]),
  ])
  if (agent.retired.length > RETIRED_MAX) agent.retired.shift()
  if (agent.retiredThrough.length > RETIRED_MAX) agent.retiredThrough.shift()
  agent.epochs.delete(oldest.epoch)
}

/** Whether a batch was received before its epoch was folded into totals. */
export const wasFolded = (agent: AgentState, { epoch, sequence }: { epoch: string; sequence: number }): boolean =>
  agent.retiredThrough.some(
    ([folded, through, beyond]) =>
      folded === epoch && (sequence <= through || beyond.some(([from, to]) => from <= sequence && sequence <= to)),
  )

export const epochTotals = (epoch: EpochState): Omit<Totals, 'missing'> => ({
  produced: producedReadings(epoch.sequences),
  stored: epoch.stored,
  deadLettered: epoch.deadLettered,
  shed: shedReadings(epoch.sequences.losses),
})

/** @returns undefined when there are too many to remember; `create` makes one all the same, without windows */
export function findSeries(
  state: PartitionState,
  site: string,
  device: string,
  kind: string,
): DeviceSeries | undefined {
  const kinds = state.sites.get(site)?.get(device)
  if (kinds === undefined) return undefined
  for (const series of kinds) if (series.contract.kind === kind) return series
  return undefined
}

export function addSeries(state: PartitionState, series: DeviceSeries): void {
  let devices = state.sites.get(series.site)
  if (devices === undefined) {
    devices = new Map()
    state.sites.set(series.site, devices)
  }
  const kinds = devices.get(series.device)
  if (kinds === undefined) devices.set(series.device, [series])
  else kinds.push(series)
  state.deviceCount += 1
  state.seriesCount += series.fields.length
  state.agents.get(series.agent)?.series.push(series)
}

export function* allSeries(state: PartitionState): Generator<DeviceSeries> {
  for (const devices of state.sites.values()) for (const kinds of devices.values()) yield* kinds
}

/** An entry that is there already is replaced by an equal one: whoever works on it sees that it was made dirty again. */
export function addDirty(state: PartitionState, series: DeviceSeries, widthMs: number, startMs: number): void {
  const { site, device } = series
  const { kind } = series.contract
  const dirty = { site, device, kind, widthMs, startMs }
  const key = dirtyKeyOf(dirty)
  if (state.dirty.size < DIRTY_MAX || state.dirty.has(key)) state.dirty.set(key, dirty)
  else if (!widenSpan(state.dirtySpans, dirty)) state.dirtyOverflow += 1
}

/** All windows of the series in a stretch of time. */
export function addDirtySpan(state: PartitionState, series: DeviceSeries, fromMs: number, toMs: number): void {
  const { site, device, contract } = series
  const stretch = { site, device, kind: contract.kind, widthMs: toMs - fromMs, startMs: fromMs }
  if (!widenSpan(state.dirtySpans, stretch)) state.dirtyOverflow += 1
}

export const dirtyKeyOf = ({ site, device, kind, widthMs, startMs }: DirtyWindow): string =>
  `${site}/${device}/${kind}/${widthMs}/${startMs}`

export function openWindowCount(state: PartitionState): number {
  let count = 0
  for (const series of allSeries(state)) for (const { open } of series.windows ?? []) count += open.length
  return count
}
