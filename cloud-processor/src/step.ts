/**
 * Guarantee: the same state and the same batches give the same state and the same effects, byte for byte. No clock, no chance:
 * time comes with the message (when the stream received it) and with the samples.
 * The state is changed in place: copying it for each batch would cost more than all the rest.
 */
import type { Batch, BatchHeader, Contract, DeviceBlock, RollupBlock } from '@tributary/protocol'
import { BatchScope, type ScopeBatch, type StepContext } from './batch-scope.ts'
import { noteClock, noteRefusedSamples, writeQuality } from './data-quality.ts'
import { decodeLetter, EPOCH_UNKNOWN, edgeLetter, originOf } from './dead-letter.ts'
import { contiguousThrough, countShed, isUntouched, receiveBatch, receiveTombstone } from './deduplicate.ts'
import { isLinkDetector, sayDuration } from './detectors/index.ts'
import type { Effects } from './effects.ts'
import { writeExpected } from './expected-lines.ts'
import { closeWindows, foldBlock, writeQuiet, writeTouched } from './fold-block.ts'
import { foldRollup, leaveRollup, pickWindows, refuseRollupOfUnknownKind } from './fold-rollup.ts'
import { momentOf, noteBacklog } from './gaps.ts'
import type { Intake, TakenRefusal, TakenRequeue } from './intake.ts'
import { judgeBlock } from './judge-block.ts'
import { noteHeard } from './link-watch.ts'
import { peersKey } from './peer-group.ts'
import { type Placed, placeBlock } from './place-block.ts'
import { distrustSeries, endOldDoubts, isInDoubt, noteBeginning } from './prior-life.ts'
import { AHEAD_MS_MAX, addLetter, pickSamples, refuseAhead, refuseUnknownKind } from './refuse.ts'
import { answerStranger, stepRequeue } from './requeue.ts'
import { writeSamples } from './sample-lines.ts'
import { createSeries, type DeviceSeries } from './series.ts'
import { observeShape } from './shape.ts'
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
import { alertScope, stepOperator, stepTick } from './step-operator.ts'
import { concludeAlerts, tell } from './tell.ts'
import { passViolations } from './violation-watch.ts'
import { followLimits, judgeSilence, watchBlock } from './watch-block.ts'
import { judgePeers } from './watch-peers.ts'
import { watchTogether } from './watch-together.ts'
import { watermarkOf } from './watermark.ts'
import { endsBetween, windowStart } from './window.ts'

/** Alerts about a device that was not heard of for so long end by themselves. */
const GIVE_UP_AFTER_MS = 7 * 86_400_000
const LOOK_EVERY_MS = 10_000
/** Edge dead letters of this reason are readings that an agent shed because it had no room for them: counted as such. */
const SHED_AT_THE_DOOR = 'spool_full'

/** One message: changes the state and adds to the effects. */
export function step(state: PartitionState, intake: Intake, context: StepContext, effects: Effects): void {
  const repeated = intake.streamSequence <= state.streamSequence // of the same stream, else the loop has set it back
  state.streamSequence = Math.max(state.streamSequence, intake.streamSequence)
  if (intake.request !== undefined) {
    stepRequest(state, intake, context, effects)
    return
  }
  if (intake.asked !== undefined) {
    // A batch is known by its identity; these by their place alone. They were in a checkpoint before they were acknowledged.
    if (repeated) return
    const s = alertScope(state, context, effects, intake.receivedAtMs)
    if (intake.asked === 'tick') stepTick(s)
    else stepOperator(s, intake.asked)
    return
  }
  const agent = agentOf(state, intake.site, intake.agent)
  agent.batches += 1
  state.counters.batches += 1
  if (intake.batch === undefined) refuseBatch(state, agent, intake, repeated, context, effects)
  else {
    const { batch, site, receivedAtMs } = intake
    stepBatch(new BatchScope(state, agent, batch, site, receivedAtMs, context, effects), batch)
  }
}

function stepRequest(state: PartitionState, intake: TakenRequeue, context: StepContext, effects: Effects): void {
  const { site, agent, request, receivedAtMs } = intake
  const known = state.agents.get(agentKeyOf({ site, agent }))
  if (known === undefined) {
    answerStranger({ effects, receivedAtMs }, request)
    return
  }
  const { epoch, sequence } = request.letter
  const batch: ScopeBatch = { header: { agent, epoch, sequence, lane: 'backlog' }, blocks: [] }
  const s = new BatchScope(state, known, batch, site, receivedAtMs, context, effects)
  s.inDoubt = isInDoubt(known)
  stepRequeue(s, request, (device, contract, at) => {
    const series = newSeries(s, contract, device, at)
    // What is requeued says nothing of where the device stands now: its next sample does.
    series.left = true
    return series
  })
}

function refuseBatch(
  state: PartitionState,
  agent: AgentState,
  refused: TakenRefusal,
  repeated: boolean,
  context: StepContext,
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
    context.privacy.withholdsOriginals,
  )
  // Without a header the message's place in the stream is all that tells whether it was counted before.
  if (header === undefined && repeated) effects.deadLetters.push(letter)
  else addLetter(state, agent, epoch, letter, effects)
}

function stepBatch(s: BatchScope, batch: Batch): void {
  const { agent, state, effects, context } = s
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
    noteHeard(agent, batch, s.receivedAtMs, context.desk.unreachableAfterMs)
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
  if (s.live) effects.receivedTimesMs.push(s.receivedAtMs)
  for (const [i, letter] of batch.deadLetters.entries())
    if (letter.reason === SHED_AT_THE_DOOR) {
      if (s.epoch) countShed(s.epoch.sequences, header.sequence, letter.reason, letter.readingCount)
    } else
      addLetter(state, agent, s.epoch, edgeLetter(s.origin, i, letter, context.privacy.withholdsOriginals), effects)
  for (const block of batch.blocks)
    for (const placed of placeBlock(s, refuseAhead(s, block), pickSamples)) stepBlock(s, placed, header)
  for (const [i, block] of batch.rollups.entries())
    for (const placed of placeBlock(s, block, pickWindows)) stepRollup(s, placed, isMergeable[i] as boolean)
  advance(s)
  concludeAlerts(s)
  writeTouched(s)
  writeQuality(s)
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

function stepBlock(s: BatchScope, placed: Placed<DeviceBlock>, header: BatchHeader): void {
  const { block: received } = placed
  if (received.timesMs.length === 0) return
  const contract = s.context.contracts.get(received.kind)
  if (contract === undefined) {
    refuseUnknownKind(s, received)
    const { timesMs } = received
    noteRefusedSamples(
      s,
      placed.site,
      received,
      'unknown_kind',
      timesMs.reduce((a, b) => Math.min(a, b)),
      timesMs.length,
    )
    return
  }
  const series = seriesOf(s, contract, placed)
  series.heardAtMs = s.receivedAtMs
  s.heard.push(series)
  if (!series.left) followLimits(s, series, placed.now?.thresholds)
  noteClock(s, series, received, header)
  const { block, refusals, flags } = judgeBlock(s, series, received)
  const beforeMs = series.newestMs
  writeSamples(s, series, block, refusals, flags)
  writeExpected(s, series, beforeMs)
  if (series.windows) foldBlock(s, series, block, refusals)
  watchBlock(s, series, block, refusals)
  if (series.together.length > 0) watchTogether(s, series, block, refusals)
  observeShape(s, series, received)
  if (s.epoch && series.newestMs > s.epoch.newestMs) s.epoch.newestMs = series.newestMs
}

/** Windows that the agent computed: history, which detectors do not see. */
function stepRollup(s: BatchScope, placed: Placed<RollupBlock>, isMergeable: boolean): void {
  const { block } = placed
  if (block.timesMs.length === 0) return
  const contract = s.context.contracts.get(block.kind)
  if (contract === undefined) {
    refuseRollupOfUnknownKind(s, block)
    return
  }
  const series = seriesOf(s, contract, placed)
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

function seriesOf(
  s: BatchScope,
  contract: Contract,
  { block: { device }, site, siteNow }: Placed<DeviceBlock | RollupBlock>,
): DeviceSeries {
  const { state, agent } = s
  const agentKey = agentKeyOf(agent)
  let series = findSeries(state, site, device, contract.kind)
  const cameBack = series === undefined || series.left || series.agent !== agentKey
  if (series === undefined) series = newSeries(s, contract, device, site)
  else if (series.agent !== agentKey) {
    series.agent = agentKey
    if (!agent.series.includes(series)) agent.series.push(series)
  }
  if (site !== siteNow) leave(s, series, siteNow)
  else if (cameBack) {
    series.left = false
    leaveOtherSites(s, series)
  }
  return series
}

function newSeries({ state, agent }: BatchScope, contract: Contract, device: string, site: string): DeviceSeries {
  const withWindows = state.seriesCount < SERIES_MAX
  const series = createSeries(site, device, contract, agentKeyOf(agent), { withWindows })
  distrustSeries(state, series, agent)
  if (withWindows) addSeries(state, series)
  return series
}

/** Where the device stood before it is not silent but gone. */
function leaveOtherSites(s: BatchScope, { site, device, contract }: DeviceSeries): void {
  const agentKey = agentKeyOf(s.agent)
  for (const devices of s.state.sites.values())
    for (const former of devices.get(device) ?? [])
      if (former.site !== site && former.agent === agentKey && former.contract.kind === contract.kind)
        leave(s, former, site)
}

/** Alerts end, and what still comes is history; windows go on, and close with the agent's watermark as ever. */
function leave(s: BatchScope, series: DeviceSeries, siteNow: string): void {
  if (series.left) return
  series.left = true
  const { site, device, contract } = series
  const place = { site, device, kind: contract.kind }
  tell(s, s.context.engine.forget(s.state.alerts, place, `${device} stands at ${siteNow} now`))
}

/** An alert about a device that is gone for good must not stay open for ever, also when its agent is gone, too. */
function giveUpForgotten(s: BatchScope): void {
  const { state, context } = s
  for (const place of Object.values(state.alerts.episodes)) {
    if (isLinkDetector(place.detector)) continue
    const series = findSeries(state, place.site, place.device, place.kind)
    const isCompared = place.detector !== 'peers' || state.peers.has(peersKey(place))
    if (!isCompared) tell(s, context.engine.forget(state.alerts, place, 'its contract compares it with no peers now'))
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
    if (windowStart(watermarkMs, LOOK_EVERY_MS) > windowStart(before, LOOK_EVERY_MS)) {
      giveUpForgotten(s)
      writeQuiet(s)
    }
    for (const series of agent.series) {
      if (endsBetween(series.windows, before, watermarkMs)) closeWindows(s, series, watermarkMs)
      judgeSilence(s, series, watermarkMs)
      passViolations(s, series, watermarkMs)
    }
    judgePeers(s, before)
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
