/**
 * Devices of one kind at one site, compared window by window. Pure data, changed by `step` alone.
 * Guarantee: what comes of a window is a function of its means and of the windows before it, in whatever order the means came.
 */
import type { Contract } from '@tributary/protocol'
import {
  apartness,
  type JointDetector,
  type JointVerdict,
  loseSight,
  NEVER_MS,
  PEERS_MIN,
  type PeersState,
  peersDetector,
  restoreState,
  seriesContext,
} from './detectors/index.ts'
import { layoutOf } from './kind-layout.ts'

/** Devices of a group; further ones are not compared. */
export const PEERS_MAX = 1_000
/** Windows that wait to be judged; the oldest of more are not. */
const WAITING_MAX = 256
/** A device without a mean in a window has that of one before it, for so many widths. */
const HELD_WIDTHS = 3
/** One that was not heard of for so long is forgotten. */
const FORGET_MS = 7 * 86_400_000
/** Of a normal distribution: the mean of absolute deviations in medians of them. */
const MEAN_OF_MEDIAN = 1.183

export interface Peer {
  /** `site/agent` that delivered last. */
  agent: string
  /** End of the newest window with a mean. */
  heardMs: number
  /** By field. */
  readonly means: (number | null)[]
  readonly states: PeersState[]
}

export interface PeerGroup {
  readonly site: string
  readonly kind: string
  readonly widthMs: number
  readonly fields: readonly string[]
  readonly detectors: readonly JointDetector<PeersState>[]
  /** End of the last window that was judged, or can have been. */
  judgedThroughMs: number
  /** By start: the means of each device, by field. */
  readonly waiting: Map<number, Map<string, (number | null)[]>>
  readonly peers: Map<string, Peer>
}

/** The place of a group in the state. */
export const peersKey = ({ site, kind }: { readonly site: string; readonly kind: string }): string => `${site}/${kind}`

/** What is said of a field of a device. */
export interface PeerVerdict {
  readonly device: string
  readonly field: string
  readonly detector: JointDetector<PeersState>
  readonly verdict: JointVerdict
  readonly atMs: number
}

/** @returns undefined when the contract compares no peers */
export function createPeerGroup(site: string, contract: Contract): PeerGroup | undefined {
  const { peers } = layoutOf(contract)
  if (peers === undefined) return undefined
  const { fields, widthMs } = peers
  return {
    site,
    kind: contract.kind,
    widthMs,
    fields,
    detectors: fields.map((field) => peersDetector(seriesContext(contract, site, '', field), widthMs)),
    judgedThroughMs: NEVER_MS,
    waiting: new Map(),
    peers: new Map(),
  }
}

/** @param means by field. @returns false when the device is one too many */
export function noteMeans(
  group: PeerGroup,
  device: string,
  agent: string,
  startMs: number,
  means: (number | null)[],
): boolean {
  let peer = group.peers.get(device)
  if (peer === undefined) {
    if (group.peers.size >= PEERS_MAX) return false
    peer = {
      agent,
      heardMs: startMs + group.widthMs,
      means: means.map(() => null),
      states: group.detectors.map((one) => one.start()),
    }
    group.peers.set(device, peer)
  }
  peer.agent = agent
  if (startMs + group.widthMs <= group.judgedThroughMs) return true
  let waiting = group.waiting.get(startMs)
  if (waiting === undefined) {
    waiting = new Map()
    group.waiting.set(startMs, waiting)
    if (group.waiting.size > WAITING_MAX) group.waiting.delete(Math.min(...group.waiting.keys()))
  }
  waiting.set(device, means)
  return true
}

/** Judges all windows that end by then, in order of time; devices in order of their names. */
export function judgeThrough(group: PeerGroup, throughMs: number): PeerVerdict[] {
  const { widthMs, waiting } = group
  const verdicts: PeerVerdict[] = []
  const due = [...waiting.keys()].filter((startMs) => startMs + widthMs <= throughMs).sort((a, b) => a - b)
  for (const startMs of due) {
    judgeWindow(group, startMs + widthMs, waiting.get(startMs) as Map<string, (number | null)[]>, verdicts)
    waiting.delete(startMs)
  }
  group.judgedThroughMs = Math.max(group.judgedThroughMs, Math.floor(throughMs / widthMs) * widthMs)
  for (const [device, { states, heardMs }] of sorted(group.peers)) {
    for (const [f, state] of states.entries()) {
      const verdict = loseSight(state, group.judgedThroughMs)
      if (verdict) verdicts.push(verdictOf(group, device, f, verdict, group.judgedThroughMs))
    }
    if (group.judgedThroughMs - heardMs > FORGET_MS) group.peers.delete(device)
  }
  return verdicts
}

const sorted = <T>(byName: ReadonlyMap<string, T>): [string, T][] => [...byName].sort(([a], [b]) => (a < b ? -1 : 1))

const verdictOf = (
  { fields, detectors }: PeerGroup,
  device: string,
  f: number,
  verdict: JointVerdict,
  atMs: number,
): PeerVerdict => ({
  device,
  field: fields[f] as string,
  detector: detectors[f] as JointDetector<PeersState>,
  verdict,
  atMs,
})

function judgeWindow(
  group: PeerGroup,
  endMs: number,
  heard: ReadonlyMap<string, (number | null)[]>,
  verdicts: PeerVerdict[],
): void {
  for (const [device, means] of heard) {
    const peer = group.peers.get(device) as Peer
    for (const [f, mean] of means.entries()) if (mean !== null) peer.means[f] = mean
    peer.heardMs = endMs
  }
  const present = sorted(group.peers).filter(([, { heardMs }]) => endMs - heardMs < HELD_WIDTHS * group.widthMs)
  for (const [f, detector] of group.detectors.entries()) {
    const compared = present.filter(([, { means }]) => means[f] !== null)
    const values = compared.map(([, { means }]) => means[f] as number)
    const places = compared.map(([, { states }], i) => (values[i] as number) - (states[f] as PeersState).offset)
    const [allValues, allPlaces] = [Float64Array.from(values).sort(), Float64Array.from(places).sort()]
    const levels = places.map((place) => medianWithout(allPlaces, place))
    const apart = compared.map(([, { states }], i) =>
      apartness(states[f] as PeersState, values[i] as number, levels[i] as number),
    )
    const unrest = unrestOf(
      apart,
      compared.map(([, { states }]) => (states[f] as PeersState).spread),
    )
    for (const [i, [device, { states }]] of compared.entries()) {
      const value = heard.get(device)?.[f]
      if (value === null || value === undefined) continue
      const others = [levels[i] as number, values.length - 1, unrest, medianWithout(allValues, value)]
      const verdict = detector.observe(states[f] as PeersState, endMs, [value, ...others])
      if (verdict) verdicts.push(verdictOf(group, device, f, verdict, endMs))
    }
  }
}

/** Median of ascending values without one of them; NaN when there is no other. */
export function medianWithout(values: Float64Array, value: number): number {
  const left = values.indexOf(value)
  const at = (place: number): number => values[place < left ? place : place + 1] as number
  const count = values.length - 1
  return count === 0 ? Number.NaN : (at((count - 1) >> 1) + at(count >> 1)) / 2
}

/**
 * How far the group is from where its devices usually are, whatever one of them does, in multiples of the usual: 1 while too few have learned.
 * @param spreads usual mean deviation of each
 */
function unrestOf(apart: readonly number[], spreads: readonly number[]): number {
  const isKnown = (i: number) => !Number.isNaN(apart[i])
  const usual = median(spreads.filter((_, i) => isKnown(i)))
  if (apart.filter((_, i) => isKnown(i)).length <= PEERS_MIN || usual === 0) return 1
  return (MEAN_OF_MEDIAN * median(apart.filter((_, i) => isKnown(i)))) / usual
}

function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort()
  return ((sorted[(sorted.length - 1) >> 1] as number) + (sorted[sorted.length >> 1] as number)) / 2
}

/** What a checkpoint keeps of a group. */
export interface SavedPeerGroup {
  readonly site: string
  readonly kind: string
  readonly widthMs: number
  readonly fields: readonly string[]
  readonly judgedThroughMs: number
  readonly waiting: [startMs: number, [device: string, means: (number | null)[]][]][]
  readonly peers: [device: string, peer: Peer][]
}

export const savePeerGroup = ({ detectors: _, waiting, peers, ...group }: PeerGroup): SavedPeerGroup => ({
  ...group,
  waiting: [...waiting].map(([startMs, means]) => [startMs, [...means]]),
  peers: [...peers],
})

/** @returns undefined when the contract compares no peers any more, or windows of another width: then it is learned anew */
export function restorePeerGroup(saved: SavedPeerGroup, contract: Contract | undefined): PeerGroup | undefined {
  const group = contract && createPeerGroup(saved.site, contract)
  if (group === undefined || group.widthMs !== saved.widthMs) return undefined
  const places = group.fields.map((field) => saved.fields.indexOf(field))
  const pick = (means: readonly (number | null)[]) => places.map((place) => means[place] ?? null)
  group.judgedThroughMs = saved.judgedThroughMs
  for (const [startMs, means] of saved.waiting)
    group.waiting.set(startMs, new Map(means.map(([device, one]) => [device, pick(one)])))
  for (const [device, { agent, heardMs, means, states }] of saved.peers)
    group.peers.set(device, {
      agent,
      heardMs,
      means: pick(means),
      states: group.detectors.map((detector, f) => restoreState(detector, states[places[f] as number])),
    })
  return group
}
