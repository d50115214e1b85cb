/**
 * Guarantee: the same state and the same batches give the same state and the same effects, byte for byte. No clock, no chance:
 * time comes with the message (when the stream received it) and with the samples.
 * The state is changed in place: copying it for each batch would cost more than all the rest.
 */
import { type BatchHeader, type Contract, checkBlock, type DeviceBlock, type RollupBlock } from '@tributary/protocol'
import { BatchScope, type StepContext } from './batch-scope.ts'
import { decodeLetter, EPOCH_UNKNOWN, edgeLetter, originOf } from './dead-letter.ts'
import { contiguousThrough, countShed, isUntouched, receiveBatch, receiveTombstone } from './deduplicate.ts'
import { sayDuration } from './detectors/index.ts'
import type { Effects } from './effects.ts'
import { siteOf } from './enrich.ts'
import { closeWindows, foldBlock, writeTouched } from './fold-block.ts'
import { foldRollup, leaveRollup, refuseRollupOfUnknownKind } from './fold-rollup.ts'
import { momentOf, noteBacklog } from './gaps.ts'
import type { Intake, TakenRefusal } from './intake.ts'
import { distrustSeries, endOldDoubts, isInDoubt, noteBeginning } from './prior-life.ts'
import { AHEAD_MS_MAX, addLetter, refuseAhead, refuseUnknownKind, refuseViolations } from './refuse.ts'
import { writeSamples } from './sample-lines.ts'
import { createSeries, type DeviceSeries } from './series.ts'
import {
  type AgentState,
  addSeries,
  agentKeyOf,
  agentOf,
  type EpochState,
  epochOf,
  findSeries,
  type PartitionState,
  SERIES_MAX,
  wasFolded,
} from './state.ts'
import { judgeSilence, tell, watchBlock } from './watch-block.ts'
import { watermarkOf } from './watermark.ts'
import { endsBetween, windowStart } from './window.ts'

/** Alerts about a device that was not heard of for so long end by themselves. */
const GIVE_UP_AFTER_MS = 7 * 86_400_000
const GIVE_UP_EVERY_MS = 10_000
/** Edge dead letters of this reason are readings that an agent shed because it had no room for them: counted as such. */
const SHED_AT_THE_DOOR = 'spool_full'
const NO_REFUSALS: (Uint8Array | null)[] = []

/** One message: changes the state and adds to the effects. */
export function step(state: PartitionState, intake: Intake, context: StepContext, effects: Effects): void {
  const repeated = intake.streamSequence <= state.streamSequence // of the same stream, else the loop has set it back
  state.streamSequence = Math.max(state.streamSequence, intake.streamSequence)
  const agent = agentOf(state, intake.site, intake.agent)
  agent.batches += 1
  state.counters.batches += 1
  if (intake.batch === undefined) refuseBatch(state, agent, intake, repeated, effects)
  else stepBatch(new BatchScope(state, agent, intake.batch, intake.site, intake.receivedAtMs, context, effects))
}

function refuseBatch(
  state: PartitionState,
  agent: AgentState,
  refused: TakenRefusal,
  repeated: boolean,
  effects: Effects,
): void {
  const { header, site, receivedAtMs, streamSequence } = refused
  const epoch = header && epochOf(agent, header.epoch)
  if (header && wasFolded(agent, header)) {
    state.counters.duplicates += 1
    return
  }
  if (header && epoch) {
    if (!receive(agent, epoch, header, header.completeThroughMs, receivedAtMs)) {
      state.counters.duplicates += 1
      return
    }
    epoch.received += header.readingCount
    epoch.lastReceivedAtMs = receivedAtMs
  }
  const unknown = { agent: agent.agent, epoch: EPOCH_UNKNOWN, sequence: streamSequence }
  const letter = decodeLetter(
    originOf(header ?? unknown, site, receivedAtMs),
    refused.reason,
    refused.detail,
    refused.bytes,
    header?.readingCount ?? 0,
  )
  // Without a header the message's place in the stream is all that tells whether it was counted before.
  if (header === undefined && repeated) effects.deadLetters.push(letter)
  else addLetter(state, agent, epoch, letter, effects)
}

function stepBatch(s: BatchScope): void {
  const { agent, batch, state, effects, context } = s
  const { header } = batch
  if (wasFolded(agent, header)) {
    state.counters.duplicates += 1
    return
  }
  s.epoch = epochOf(agent, header.epoch)
  if (s.epoch) {
    // A promise from a clock that is far ahead would close windows and end alerts of days that have not been; one that nobody
    // vouches for must not bind what comes once the clock is right.
    const aheadMsMax = header.clockQuality === 'untrusted' ? 0 : AHEAD_MS_MAX
    const completeThroughMs = Math.min(header.completeThroughMs, s.receivedAtMs + aheadMsMax)
    noteBacklog(agent, s.epoch, header, s.receivedAtMs)
    if (!receive(agent, s.epoch, header, completeThroughMs, s.receivedAtMs)) {
      state.counters.duplicates += 1
      return
    }
    s.epoch.received += header.readingCount
    s.epoch.lastReceivedAtMs = s.receivedAtMs
  }
  // Before its own tombstones say that these sequences are done.
  const isMergeable = batch.rollups.map(
    ({ fromSequence, toSequence }) => s.epoch !== undefined && isUntouched(s.epoch.sequences, fromSequence, toSequence),
  )
  for (const tombstone of batch.tombstones) {
    const epoch = epochOf(agent, tombstone.epoch)
    if (epoch) receiveTombstone(epoch.sequences, tombstone, momentOf(agent, s.receivedAtMs))
  }
  endOldDoubts(state, agent, s.receivedAtMs, context.missingAfterMs)
  s.inDoubt = isInDoubt(agent)
  s.originIndex = effects.origins.push(s.origin) - 1
  for (const [i, letter] of batch.deadLetters.entries())
    if (letter.reason === SHED_AT_THE_DOOR) {
      if (s.epoch) countShed(s.epoch.sequences, header.sequence, letter.reason, letter.readingCount)
    } else addLetter(state, agent, s.epoch, edgeLetter(s.origin, i, letter), effects)
  for (const block of batch.blocks) stepBlock(s, refuseAhead(s, block))
  for (const [i, block] of batch.rollups.entries()) stepRollup(s, block, isMergeable[i] as boolean)
  advance(s)
  writeTouched(s)
}

/** @returns false when the sequence was received before */
function receive(
  agent: AgentState,
  epoch: EpochState,
  { sequence, readingCount, readingsTotal }: BatchHeader,
  completeThroughMs: number,
  receivedAtMs: number,
): boolean {
  const { sequences } = epoch
  const before = contiguousThrough(sequences)
  const place = { sequence, readingCount, readingsTotal, completeThroughMs }
  if (!receiveBatch(sequences, place, momentOf(agent, receivedAtMs))) return false
  noteBeginning(epoch, before, receivedAtMs)
  return true
}

function stepBlock(s: BatchScope, block: DeviceBlock): void {
  if (block.timesMs.length === 0) return
  const contract = s.context.contracts.get(block.kind)
  if (contract === undefined) {
    refuseUnknownKind(s, block)
    return
  }
  const series = seriesOf(s, contract, block.device)
  series.heardAtMs = s.receivedAtMs
  const violations = checkBlock(contract, block, (field) => {
    const last = series.fieldNamed.get(field)?.lastValue
    return last === undefined || Number.isNaN(last) ? undefined : last
  })
  const refusals = violations.length === 0 ? NO_REFUSALS : refuseViolations(s, series, block, violations)
  writeSamples(s, series, block, refusals)
  if (series.windows) foldBlock(s, series, block, refusals)
  watchBlock(s, series, block, refusals)
  if (s.epoch && series.newestMs > s.epoch.newestMs) s.epoch.newestMs = series.newestMs
}

/** Windows that the agent computed: history, which detectors do not see. */
function stepRollup(s: BatchScope, block: RollupBlock, isMergeable: boolean): void {
  if (block.timesMs.length === 0) return
  const contract = s.context.contracts.get(block.kind)
  if (contract === undefined) {
    refuseRollupOfUnknownKind(s, block)
    return
  }
  const series = seriesOf(s, contract, block.device)
  if (isMergeable) foldRollup(s, series, block)
  else leaveRollup(s, series, block)
  if (s.epoch) s.epoch.newestMs = Math.max(s.epoch.newestMs, newestIn(block, s.receivedAtMs + AHEAD_MS_MAX))
}

/** @returns the time of the last reading in windows that began then or before */
function newestIn({ timesMs, columns }: RollupBlock, latestMs: number): number {
  const i = timesMs.findLastIndex((startMs) => startMs <= latestMs)
  return columns.reduce(
    (newest, { lastOffsetsMs }) => Math.max(newest, (timesMs[i] as number) + (lastOffsetsMs[i] as number)),
    Number.NEGATIVE_INFINITY,
  )
}

function seriesOf(s: BatchScope, contract: Contract, device: string): DeviceSeries {
  const { state, context, agent } = s
  const agentKey = agentKeyOf(agent)
  const site = siteOf(context.findDevice, device, s.site)
  let series = findSeries(state, site, device, contract.kind)
  if (series === undefined) {
    const withWindows = state.seriesCount < SERIES_MAX
    series = createSeries(site, device, contract, agentKey, { withWindows })
    leaveFormerSite(s, series)
    distrustSeries(state, series, agent)
    if (withWindows) addSeries(state, series)
  } else if (series.agent !== agentKey) {
    series.agent = agentKey
    leaveFormerSite(s, series)
    if (!agent.series.includes(series)) agent.series.push(series)
  }
  return series
}

/** The registry moved the device: where it stood it is not silent but gone. Its windows there are written, its alerts end. */
function leaveFormerSite(s: BatchScope, { site, device, contract }: DeviceSeries): void {
  const { agent, state, context } = s
  const agentKey = agentKeyOf(agent)
  for (const devices of state.sites.values())
    for (const former of devices.get(device) ?? []) {
      if (former.site === site || former.agent !== agentKey || former.contract.kind !== contract.kind) continue
      former.agent = ''
      agent.series = agent.series.filter((one) => one !== former)
      closeWindows(s, former, Number.POSITIVE_INFINITY)
      tell(
        s,
        context.engine.forget(
          state.alerts,
          { site: former.site, device, kind: contract.kind },
          `${device} stands at ${site} now`,
        ),
      )
    }
}

/** An alert about a device that is gone for good must not stay open for ever, also when its agent is gone, too. */
function giveUpForgotten(s: BatchScope): void {
  const { state, context } = s
  for (const place of Object.values(state.alerts.episodes)) {
    const series = findSeries(state, place.site, place.device, place.kind)
    if (series !== undefined && s.receivedAtMs - series.heardAtMs <= GIVE_UP_AFTER_MS) continue
    const why = `given up: nothing was heard of ${place.device} for ${sayDuration(GIVE_UP_AFTER_MS)}`
    tell(s, context.engine.forget(state.alerts, place, why))
  }
}

/** The agent's event time moves on: windows close, devices may be silent, alerts may be due. */
function advance(s: BatchScope): void {
  const { agent, state, context, live } = s
  const before = agent.watermarkMs
  const watermarkMs = watermarkOf(agent, s.receivedAtMs, context.missingAfterMs)
  agent.watermarkMs = watermarkMs
  const moved = watermarkMs > before
  if (moved) {
    const agentKey = agentKeyOf(agent)
    if (agent.series.some((series) => series.agent !== agentKey))
      agent.series = agent.series.filter((series) => series.agent === agentKey)
    if (windowStart(watermarkMs, GIVE_UP_EVERY_MS) > windowStart(before, GIVE_UP_EVERY_MS)) giveUpForgotten(s)
    for (const series of agent.series) {
      if (endsBetween(series.windows, before, watermarkMs)) closeWindows(s, series, watermarkMs)
      judgeSilence(s, series, watermarkMs)
    }
    tell(
      s,
      context.engine.advance(state.alerts, {
        agent: agentKey,
        completeThroughMs: watermarkMs,
        live,
      }),
    )
  }
}
