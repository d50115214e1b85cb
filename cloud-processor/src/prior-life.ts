/**
 * Guarantee: a state that is younger than the store (its checkpoint was lost, or an earlier generation had to do) comes to an
 * account that is right to the reading, and never overwrites a window from the part of its readings that it knows.
 *
 * An epoch whose first batch is not its sequence 1 is in doubt: the rest may be on its way (live first), or may have been stored
 * by a state that is gone. Whoever keeps the stored watermark of the epoch (the gateway; for a processor's own health, that
 * processor) is asked, and answers with the watermark and the totals at that point, as some state told it. While an epoch is in
 * doubt, no window of its agent is written. Sequences up to the watermark are taken over as stored; windows that may hold
 * readings of them, or that were open when the state was lost, are entered in `dirty` and stay as the store has them. Without an answer a doubt ends like a gap: after
 * `gaps.missing_after`, and with the same care for windows.
 */
import type { KeptWatermark } from '@tributary/protocol'
import { contiguousThrough, fillHoles, type Moment, type Run } from './deduplicate.ts'
import { lostBetween, noteUnnamed } from './losses.ts'
import type { DeviceSeries } from './series.ts'
import { type AgentState, addDirty, addDirtySpan, agentKeyOf, type EpochState, type PartitionState } from './state.ts'
import { distrustWindows, windowStart } from './window.ts'

/** Windows of a series and width that may never have been written and are named one by one; older ones are entered as a stretch of time. */
const UNWRITTEN_MAX = 100

/** Of dead letters and shed readings that only a total tells of. */
export const BEFORE_STATE_LOSS = 'before_state_loss'

export const isInDoubt = (agent: AgentState): boolean => {
  for (const epoch of agent.epochs.values()) if (!Number.isNaN(epoch.doubtSinceMs)) return true
  return false
}

/** The state is older than the last one that was acknowledged by: what it knows of every epoch may be too little. */
export function doubtAll(state: PartitionState, nowMs: number): void {
  for (const agent of state.agents.values()) for (const epoch of agent.epochs.values()) epoch.doubtSinceMs = nowMs
}

/** A batch was received: one that is not the first of its epoch puts it in doubt, one that closes the hole at the beginning ends that. */
export function noteBeginning(epoch: EpochState, before: number, receivedAtMs: number): void {
  const through = contiguousThrough(epoch.sequences)
  if (epoch.lastReceivedAtMs === Number.NEGATIVE_INFINITY && through === 0) epoch.doubtSinceMs = receivedAtMs
  else if (before === 0 && through > 0) epoch.doubtSinceMs = Number.NaN
}

/** Doubts that nobody answered for as long as it takes a gap to count as missing. */
export function endOldDoubts(state: PartitionState, agent: AgentState, nowMs: number, afterMs: number): void {
  for (const epoch of agent.epochs.values()) {
    if (Number.isNaN(epoch.doubtSinceMs) || nowMs - epoch.doubtSinceMs < afterMs) continue
    distrust(state, agent, epoch.doubtSinceMs, epoch.doubtSinceMs)
    epoch.doubtSinceMs = Number.NaN
  }
}

/**
 * The keeper's answer. What it says was stored is stored, whatever this state knows of it.
 * @returns whether the state changed
 */
export function takeOver(state: PartitionState, site: string, kept: KeptWatermark, moment: Moment): boolean {
  const agent = state.agents.get(agentKeyOf({ site, agent: kept.agent }))
  const epoch = agent?.epochs.get(kept.epoch)
  if (agent === undefined || epoch === undefined) return false
  const { sequences } = epoch
  const { sequence, totals } = kept
  const doubted = !Number.isNaN(epoch.doubtSinceMs)
  if (contiguousThrough(sequences) >= sequence) {
    epoch.doubtSinceMs = Number.NaN
    return doubted
  }
  const known = { deadLettered: 0, shed: 0, missing: 0 }
  for (const run of sequences.runs) {
    if (run.from > sequence) break
    known.deadLettered += run.deadLettered
    // Tombstones may have closed more than what was stored.
    known.shed += run.shed - lostBetween(sequences.losses, sequence + 1, run.to)
    known.missing += run.givenUp
  }
  const filled = fillHoles(sequences, sequence, totals?.readings, moment)
  // Without totals, the readings of a hole that goes on above the watermark are told by the batch after it: it is asked again.
  if (filled === undefined) return false
  let left = Math.max(0, filled)
  const take = (told = 0, ours = 0) => {
    const taken = Math.min(left, Math.max(0, told - ours))
    left -= taken
    return taken
  }
  const deadLettered = take(totals?.deadLettered, known.deadLettered)
  const shed = take(totals?.shed, known.shed)
  const missing = take(totals?.missing, known.missing)
  const first = sequences.runs[0] as Run
  first.deadLettered += deadLettered
  first.shed += shed
  first.givenUp += missing
  if (shed > 0) noteUnnamed(sequences.losses, BEFORE_STATE_LOSS, shed)
  if (deadLettered > 0) {
    const letters = agent.letters.get(`unknown/${BEFORE_STATE_LOSS}`)
    agent.letters.set(`unknown/${BEFORE_STATE_LOSS}`, {
      letters: letters?.letters ?? 0,
      readings: (letters?.readings ?? 0) + deadLettered,
    })
  }
  epoch.received += filled - shed - missing
  epoch.stored += left
  epoch.deadLettered += deadLettered
  epoch.recovered += filled
  epoch.doubtSinceMs = Number.NaN
  const newestMs = totals === undefined ? moment.atMs : (totals.newestMs ?? Number.NEGATIVE_INFINITY)
  // A state that was in doubt itself closed nothing.
  const closedThroughMs = totals === undefined ? newestMs : (totals.closedThroughMs ?? Number.NEGATIVE_INFINITY)
  distrust(state, agent, closedThroughMs, newestMs)
  return true
}

/** Windows that may hold readings of that time or before are the store's business from now on. */
function distrust(state: PartitionState, agent: AgentState, fromMs: number, throughMs: number): void {
  if (throughMs > agent.distrustedThroughMs) {
    agent.distrustedThroughMs = throughMs
    agent.distrustedFromMs = Math.min(fromMs, throughMs)
  }
  const key = agentKeyOf(agent)
  for (const series of agent.series) if (series.agent === key) distrustSeries(state, series, agent)
}

export function distrustSeries(
  state: PartitionState,
  series: DeviceSeries,
  { distrustedFromMs, distrustedThroughMs }: Pick<AgentState, 'distrustedFromMs' | 'distrustedThroughMs'>,
): void {
  if (!Number.isFinite(distrustedThroughMs)) return
  // Rows that were not raised have readings that the wider rows lack.
  const forgotten = new Set<number>()
  for (const windows of series.windows ?? []) {
    const { widthMs } = windows
    for (const startMs of distrustWindows(windows, distrustedThroughMs)) forgotten.add(startMs)
    for (const startMs of forgotten) addDirty(state, series, widthMs, windowStart(startMs, widthMs))
    const last = windowStart(distrustedThroughMs, widthMs)
    const from = windowStart(distrustedFromMs, widthMs)
    const first = Math.max(from, last - (UNWRITTEN_MAX - 1) * widthMs)
    if (first > from) addDirtySpan(state, series, from, first)
    for (let startMs = first; startMs <= last; startMs += widthMs) addDirty(state, series, widthMs, startMs)
  }
}
