/** The device of a case beside others of its kind: means of windows, as the processor would close them. */
import type { Contract } from '@tributary/protocol'
import {
  createPeerGroup,
  judgeThrough,
  noteMeans,
  type PeerGroup,
  type PeerVerdict,
  restorePeerGroup,
  savePeerGroup,
} from '../peer-group.ts'
import type { Sample } from './run-case.ts'

const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length

/** @param startMs when the case starts. @returns judges all windows up to a time since then; nothing when the contract compares no peers */
export function peersOfCase(
  contract: Contract,
  site: string,
  devices: ReadonlyMap<string, readonly Sample[]>,
  startMs: number,
): (untilMs: number) => PeerVerdict[] {
  let group = createPeerGroup(site, contract)
  let judgedMs = 0
  return (untilMs) => {
    if (group === undefined) return []
    const { widthMs, fields } = group
    for (; judgedMs + widthMs <= untilMs; judgedMs += widthMs)
      for (const [device, samples] of devices) {
        const inside = samples.filter(({ atMs }) => atMs >= judgedMs && atMs < judgedMs + widthMs)
        const means = fields.map((field) => mean(inside.flatMap(({ values }) => values[field] ?? [])))
        if (means.some((one) => one !== null)) noteMeans(group, device, 'agent', startMs + judgedMs, means)
      }
    const verdicts = judgeThrough(group, startMs + untilMs)
    group = restorePeerGroup(JSON.parse(JSON.stringify(savePeerGroup(group))), contract) as PeerGroup
    return verdicts
  }
}
