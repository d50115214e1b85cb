/**
 * Which dirty windows of a partition are due, and how what was recomputed enters the state. All of it is called by the loop, but
 * `due` and `give`.
 *
 * Guarantee: a window leaves `dirty` in the turn that writes its row, so before the checkpoint that does not know it any more; and
 * only when nothing has made it dirty since the store was asked.
 */
import { type Contracts, windowWidthsOf } from '@tributary/protocol'
import { takeFromSpans } from './dirty-spans.ts'
import type { Effects } from './effects.ts'
import { isInDoubt } from './prior-life.ts'
import type { Recomputed } from './recompute.ts'
import { type DeviceSeries, REVISION_KEY } from './series.ts'
import { addDirty, type DirtyWindow, dirtyKeyOf, findSeries, type PartitionState } from './state.ts'
import { type WindowRow, type Windows, windowStart } from './window.ts'
import { writeRow } from './window-lines.ts'

/** The list is looked through this often. */
const LOOK_MS = 1_000
/** A window that is made dirty again and again is recomputed all the same, and stays dirty. */
export const UNREST_MS_MAX = 60_000

/** A store that is being restored answers with less than it had: it must say so again, after a rest each time. */
const LACKING_MAX = 3

interface Waiting {
  readonly window: DirtyWindow
  seenMs: number
  sinceMs: number
  /** How often the store told of too few readings. */
  lacking: number
}

export interface RepairList {
  /** Takes what was recomputed, rows that memory has, and windows whose kind has no contract any more. @returns whether the state changed */
  settle(state: PartitionState, effects: Effects, contracts: Contracts): boolean
  /** To be called when everything that the state knows is stored. */
  look(state: PartitionState, contracts: Contracts): void
  /** The state is another one now. */
  forget(): void
  /** Windows to be recomputed, the one that waits for longest first. */
  readonly due: readonly DirtyWindow[]
  /** By which they are to be recomputed. What was recomputed by others is not taken. */
  readonly contracts: Contracts
  give(recomputed: readonly Recomputed[]): void
  /** Windows that have left the list and whose rows are not in the store yet. */
  readonly writing: number
  /** For how long the one that waits for longest has been waiting here; 0 when none does. */
  readonly oldestWaitMs: number
  /** Something waits: the loop should come round. */
  readonly busy: boolean
}

/** @param restMs a window is left alone for so long after the last reading that made it dirty */
export function createRepairList(restMs: number, monotonicMs: () => number): RepairList {
  /** Since when each window is as it is, and since when it waits. */
  let waiting = new Map<string, Waiting>()
  let due: DirtyWindow[] = []
  let dueBy: Contracts = new Map()
  let given: Recomputed[] = []
  let lookedAtMs = Number.NEGATIVE_INFINITY
  let tookOthersAtMs = Number.NEGATIVE_INFINITY
  let busy = false
  let writing = 0

  function take(state: PartitionState, effects: Effects, contracts: Contracts): boolean {
    let changed = false
    for (const { window, series, windows, row, lacks, followersMs } of given) {
      const key = dirtyKeyOf(window)
      const now = state.dirty.get(key)
      if (now === undefined || whose(state, now) !== 'store') continue
      if (series.contract !== contracts.get(window.kind)) continue
      const place = waiting.get(key)
      if (place) {
        place.sinceMs = monotonicMs()
        place.lacking += lacks ? 1 : 0
        if (lacks && place.lacking < LACKING_MAX) {
          place.seenMs = place.sinceMs
          continue
        }
      }
      const known = windowsOf(findSeries(state, window.site, window.device, window.kind), window)
      const inMemory = known?.rows.get(window.startMs)
      // One that memory has was written since with what came meanwhile.
      if (inMemory && now !== window) continue
      if (row && windows) write(state, effects, series, row, windows)
      else state.counters.windowsKept += 1
      if (inMemory && row) inMemory.revision = Math.max(inMemory.revision, row.revision)
      if (now === window) state.dirty.delete(key)
      for (const timeMs of followersMs) leaveToStore(state, series, timeMs)
      changed = true
    }
    given = []
    return changed
  }

  function takeOthers(state: PartitionState, effects: Effects, contracts: Contracts): boolean {
    tookOthersAtMs = monotonicMs()
    let changed = false
    for (const [key, window] of state.dirty) {
      if (!contracts.has(window.kind)) {
        // Nobody knows how to compute it: it must not keep the others out.
        state.counters.windowsKept += 1
        state.dirty.delete(key)
        changed = true
        continue
      }
      if (whose(state, window) !== 'memory') continue
      const series = findSeries(state, window.site, window.device, window.kind)
      const windows = windowsOf(series, window)
      const row = windows?.rows.get(window.startMs)
      // One that is open is written when it closes; where there is none, there are no readings.
      if (series && windows && row?.closed && row.changed) write(state, effects, series, row, windows)
      state.dirty.delete(key)
      changed = true
    }
    return changed
  }

  return {
    settle(state, effects, contracts) {
      const before = state.dirty.size
      const isDue = state.dirty.size > 0 && monotonicMs() - tookOthersAtMs >= LOOK_MS
      const took = take(state, effects, contracts)
      const tookOthers = isDue && takeOthers(state, effects, contracts)
      writing += before - state.dirty.size
      return takeFromSpans(state, contracts) || tookOthers || took
    },
    look(state, contracts) {
      const nowMs = monotonicMs()
      writing = 0
      busy = state.dirty.size > 0
      if (given.length > 0 || nowMs - lookedAtMs < LOOK_MS) return
      lookedAtMs = nowMs
      const before = waiting
      waiting = new Map()
      due = []
      dueBy = contracts
      for (const [key, window] of state.dirty) {
        const known = before.get(key)
        const sinceMs = known?.sinceMs ?? nowMs
        const seenMs = known?.window === window ? known.seenMs : nowMs
        waiting.set(key, { window, seenMs, sinceMs, lacking: known?.window === window ? known.lacking : 0 })
        if (nowMs - seenMs < restMs && nowMs - sinceMs < Math.max(restMs, UNREST_MS_MAX)) continue
        if (contracts.has(window.kind) && whose(state, window) === 'store') due.push(window)
      }
    },
    forget() {
      writing = 0
      waiting.clear()
      due = []
      given = []
    },
    get due() {
      return due
    },
    get contracts() {
      return dueBy
    },
    give(recomputed) {
      given.push(...recomputed)
      const done = new Set(recomputed.map(({ window }) => window))
      due = due.filter((window) => !done.has(window))
    },
    get writing() {
      return writing
    },
    get oldestWaitMs() {
      let sinceMs = monotonicMs()
      for (const place of waiting.values()) sinceMs = Math.min(sinceMs, place.sinceMs)
      return monotonicMs() - sinceMs
    },
    get busy() {
      return busy || given.length > 0
    },
  }
}

const windowsOf = (series: DeviceSeries | undefined, { widthMs }: DirtyWindow): Windows | undefined =>
  series?.windows?.find((windows) => windows.widthMs === widthMs)

/** What its counters counted up to that reading is another thing now. */
function leaveToStore(state: PartitionState, series: DeviceSeries, timeMs: number): void {
  const ours = findSeries(state, series.site, series.device, series.contract.kind)
  for (const [w, widthMs] of windowWidthsOf(series.contract).entries()) {
    const startMs = windowStart(timeMs, widthMs)
    const row = ours?.windows?.[w]?.rows.get(startMs)
    if (row) row.uncertain = true
    addDirty(state, series, widthMs, startMs)
  }
}

/** Who knows all readings of the window that there are: the store, memory, or (in doubt) nobody yet. */
function whose(state: PartitionState, window: DirtyWindow): 'store' | 'memory' | 'nobody' {
  const series = findSeries(state, window.site, window.device, window.kind)
  const agent = series && state.agents.get(series.agent)
  if (agent && isInDoubt(agent)) return 'nobody'
  const windows = windowsOf(series, window)
  if (windows === undefined) return 'store'
  const row = windows.rows.get(window.startMs)
  if (row !== undefined) return row.uncertain ? 'store' : 'memory'
  return window.startMs < windows.forgottenBeforeMs ? 'store' : 'memory'
}

function write(state: PartitionState, effects: Effects, series: DeviceSeries, row: WindowRow, windows: Windows): void {
  const width = windowWidthsOf(series.contract).indexOf(windows.widthMs)
  state.counters.windowsWritten += 1
  state.counters.windowsRepaired += 1
  if (row.revision > 0) state.counters.windowsRevised += 1
  writeRow(
    effects.rollups,
    series.windowPrefixes[width] as Uint8Array,
    series.layout.windowKeys,
    REVISION_KEY,
    row,
    windows,
  )
}
