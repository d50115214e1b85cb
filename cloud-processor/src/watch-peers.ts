/** Where groups of peers meet batches: closed windows are noted, and judged when all agents of the group are past their ends. */
import type { BatchScope } from './batch-scope.ts'
import { createPeerGroup, judgeThrough, noteMeans, type PeerGroup, peersKey } from './peer-group.ts'
import type { DeviceSeries } from './series.ts'
import { tell } from './tell.ts'
import { judge } from './watch-block.ts'
import { CELLS, COUNT, MEAN, type WindowRow } from './window.ts'

/** An agent that is further behind the newest one is not waited for; windows that are judged later than that are history. */
const PATIENCE_MS = 120_000

/** A window of the width that is compared has closed. */
export function notePeers(s: BatchScope, series: DeviceSeries, { startMs, cells }: WindowRow): void {
  const { site, device, contract, layout, agent } = series
  if (series.left || s.inDoubt || layout.peers === undefined) return
  const key = peersKey({ site, kind: contract.kind })
  let group = s.state.peers.get(key)
  if (group === undefined) {
    group = createPeerGroup(site, contract) as PeerGroup
    s.state.peers.set(key, group)
  }
  const means = layout.peers.slots.map((slot) =>
    (cells[slot * CELLS + COUNT] as number) > 0 ? (cells[slot * CELLS + MEAN] as number) : null,
  )
  if (means.every((mean) => mean === null)) return
  if (!noteMeans(group, device, agent, startMs, means)) s.state.counters.peersBeyond += 1
}

/** The watermark of the batch's agent moved on: perhaps that is what its groups waited for. */
export function judgePeers(s: BatchScope, beforeMs: number): void {
  const keys = new Set<string>()
  for (const series of s.agent.series) {
    const { peers } = series.layout
    if (peers && Math.floor(s.agent.watermarkMs / peers.widthMs) > Math.floor(beforeMs / peers.widthMs))
      keys.add(peersKey({ site: series.site, kind: series.contract.kind }))
  }
  for (const key of keys) {
    const group = s.state.peers.get(key)
    if (group) judgeGroup(s, group)
  }
}

function judgeGroup(s: BatchScope, group: PeerGroup): void {
  const { site, kind } = group
  // An agent whose clock is ahead must not make stragglers of all the others.
  const marks = [...new Set([...group.peers.values()].map(({ agent }) => agent))].map((agent) =>
    Math.min(s.receivedAtMs, s.state.agents.get(agent)?.watermarkMs ?? Number.NEGATIVE_INFINITY),
  )
  const newestMs = Math.max(...marks)
  const throughMs = Math.min(...marks.filter((mark) => newestMs - mark <= PATIENCE_MS))
  if (!Number.isFinite(throughMs)) return
  // Its own event time: verdicts come later than those of the agents.
  const agent = `peers of ${site}/${kind}`
  for (const { device, field, detector, verdict, atMs } of judgeThrough(group, throughMs)) {
    const live = s.live && newestMs - atMs <= PATIENCE_MS
    judge(s, { agent, site, device, kind, field, detector, verdict, value: verdict.value, atMs, live })
  }
  const { judgedThroughMs } = group
  tell(s, s.context.engine.advance(s.state.alerts, { agent, completeThroughMs: judgedThroughMs, live: s.live }))
}
