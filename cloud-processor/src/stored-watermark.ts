/**
 * Tells the gateways up to which sequence of each (agent, epoch) everything is in the store: what they may trim. Core NATS:
 * a message that gets lost is made up for by the next, because all of them are repeated.
 */
import { type KeptWatermark, STORED_BEYOND_MAX, type StoredWatermarks, storedSubject } from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'
import { contiguousThrough, prefixTotals } from './deduplicate.ts'
import type { AgentState, EpochState, PartitionState } from './state.ts'

/** Watermarks in one message, well under the limit of 10,000 and of a NATS message. */
const WATERMARKS_PER_MESSAGE = 1_000

/** The totals go along, so that whoever keeps the watermark can give a processor without a state its account back. */
export function watermarkOfEpoch(agent: AgentState, epoch: EpochState): KeptWatermark {
  const orNull = (timeMs: number) => (Number.isFinite(timeMs) ? timeMs : null)
  return {
    agent: agent.agent,
    epoch: epoch.epoch,
    sequence: contiguousThrough(epoch.sequences),
    totals: {
      ...prefixTotals(epoch.sequences),
      newestMs: orNull(epoch.newestMs),
      closedThroughMs: orNull(agent.watermarkMs),
    },
  }
}

/**
 * What is in the store beyond the watermark, when the holes before it have been there for so long that they may never close: whoever
 * keeps batches until they are stored must not keep them for ever because of what nobody has. Earlier it is not said, since a
 * state that is lost has to be given it again.
 */
function storedBeyond({ sequences }: EpochState, nowMs: number, afterMs: number): [number, number][] {
  const beyond: [number, number][] = []
  for (const { from, to, holeSeenAtMs } of sequences.runs) {
    if (from === 1) continue
    if (nowMs - holeSeenAtMs < afterMs || beyond.length === STORED_BEYOND_MAX) break
    beyond.push([from, to])
  }
  return beyond
}

export type Publish = (subject: string, bytes: Uint8Array) => void

export interface WatermarkPublisher {
  /** To be called with a state that is checkpointed. @param all also those that did not change */
  publish(state: PartitionState, all: boolean): void
}

/** @param missingAfterMs a hole that was not closed for so long may never be */
export function createWatermarkPublisher(
  publish: Publish,
  { clock, missingAfterMs }: { clock: Clock; missingAfterMs: number },
): WatermarkPublisher {
  let published = new Map<string, number>()
  return {
    publish(state, all) {
      const bySite = new Map<string, StoredWatermarks['watermarks'][number][]>()
      const say = (site: string, watermark: StoredWatermarks['watermarks'][number]) => {
        const list = bySite.get(site) ?? []
        list.push(watermark)
        bySite.set(site, list)
      }
      const current = new Map<string, number>()
      for (const agentState of state.agents.values()) {
        const { site, agent } = agentState
        if (all)
          for (const [epoch, sequence, beyond] of agentState.retiredThrough)
            say(site, { agent, epoch, sequence, beyond })
        for (const epoch of agentState.epochs.values()) {
          const watermark = watermarkOfEpoch(agentState, epoch)
          const { sequence } = watermark
          const key = `${site}/${agent}/${epoch.epoch}`
          current.set(key, sequence)
          const beyond = all ? storedBeyond(epoch, clock.wallMs(), missingAfterMs) : []
          if (beyond.length > 0) say(site, { ...watermark, beyond })
          else if (sequence > 0 && (all || published.get(key) !== sequence)) say(site, watermark)
        }
      }
      published = current
      for (const [site, watermarks] of bySite)
        for (let from = 0; from < watermarks.length; from += WATERMARKS_PER_MESSAGE) {
          const message: StoredWatermarks = { site, watermarks: watermarks.slice(from, from + WATERMARKS_PER_MESSAGE) }
          publish(storedSubject(site), Buffer.from(JSON.stringify(message), 'utf8'))
        }
    },
  }
}
