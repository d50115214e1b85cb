/**
 * Tells the gateways up to which sequence of each (agent, epoch) everything is in the store: what they may trim. Core NATS:
 * a message that gets lost is made up for by the next, because all of them are repeated.
 */
import { type KeptWatermark, type StoredWatermarks, storedSubject } from '@tributary/protocol'
import { contiguousThrough, prefixTotals } from './deduplicate.ts'
import type { AgentState, EpochState, PartitionState } from './state.ts'

/** Watermarks in one message, well under the limit of 10,000 and of a NATS message. */
const WATERMARKS_PER_MESSAGE = 2_000

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

export type Publish = (subject: string, bytes: Uint8Array) => void

export interface WatermarkPublisher {
  /** To be called with a state that is checkpointed. @param all also those that did not change */
  publish(state: PartitionState, all: boolean): void
}

export function createWatermarkPublisher(publish: Publish): WatermarkPublisher {
  let published = new Map<string, number>()
  return {
    publish(state, all) {
      const bySite = new Map<string, StoredWatermarks['watermarks'][number][]>()
      const current = new Map<string, number>()
      for (const agentState of state.agents.values())
        for (const epoch of agentState.epochs.values()) {
          const { site, agent } = agentState
          const watermark = watermarkOfEpoch(agentState, epoch)
          const { sequence } = watermark
          const key = `${site}/${agent}/${epoch.epoch}`
          current.set(key, sequence)
          if (sequence === 0 || (!all && published.get(key) === sequence)) continue
          const list = bySite.get(site) ?? []
          list.push(watermark)
          bySite.set(site, list)
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
