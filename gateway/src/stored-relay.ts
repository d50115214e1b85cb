/**
 * Tells agents on `…/stored` up to which sequence of each of their epochs everything is in the store, with the epoch of this
 * gateway's spool: within a second of their subscription and of each move, at most once a second for each epoch.
 *
 * Guarantee: no more is told than the processor said. A gateway that knows of no watermark says 0.
 */
import type { StoredRelay as StoredNotice } from '@tributary/protocol'
import { type Clock, every, type Service } from '@tributary/runtime'
import { AGENTS_MAX, EPOCHS_PER_AGENT_MAX } from './marks.ts'

export interface StoredRelay extends Service {
  /** The processor has everything of the epoch up to here. */
  stored(agent: string, epoch: string, sequence: number): void
  /** A batch of the epoch came: its agent is told, were it only that nothing is known. */
  received(agent: string, epoch: string): void
  /** The agent listens from now on, and knows nothing. */
  subscribed(agent: string): void
}

export interface StoredRelayDependencies {
  readonly gatewayEpoch: string
  /** What is known from before a restart. */
  readonly knownThrough: (agent: string) => { readonly epoch: string; readonly storedThrough: number } | undefined
  readonly isConnected: (agent: string) => boolean
  /** @returns whether it was sent */
  readonly publish: (agent: string, payload: string) => boolean
  readonly clock: Clock
}

const EVERY_MS = 1_000

interface Watermark {
  through: number
  /** -1: nothing, on the present connection. */
  told: number
}

export function createStoredRelay(dependencies: StoredRelayDependencies): StoredRelay {
  const { gatewayEpoch, knownThrough, isConnected, publish, clock } = dependencies
  /** Both maps in the order of their last news, so that the first is the one to forget. */
  const agents = new Map<string, Map<string, Watermark>>()
  /** Agents that are to be told something. */
  const waiting = new Set<string>()
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()

  const watermarkOf = (agent: string, epoch: string): Watermark => {
    const epochs = agents.get(agent) ?? new Map<string, Watermark>()
    const watermark = epochs.get(epoch) ?? { through: 0, told: -1 }
    refresh(epochs, epoch, watermark, EPOCHS_PER_AGENT_MAX)
    refresh(agents, agent, epochs, AGENTS_MAX)
    return watermark
  }
  const tell = (agent: string) => {
    for (const [epoch, watermark] of agents.get(agent) ?? []) {
      if (watermark.through <= watermark.told) continue
      const notice: StoredNotice = { gatewayEpoch, epoch, sequence: watermark.through }
      if (!publish(agent, JSON.stringify(notice))) return isConnected(agent)
      watermark.told = watermark.through
    }
    return false
  }
  return {
    name: 'stored relay',
    stored(agent, epoch, sequence) {
      const watermark = watermarkOf(agent, epoch)
      if (sequence <= watermark.through) return
      watermark.through = sequence
      waiting.add(agent)
    },
    received(agent, epoch) {
      if (agents.get(agent)?.has(epoch)) return
      watermarkOf(agent, epoch)
      waiting.add(agent)
    },
    subscribed(agent) {
      const known = knownThrough(agent)
      if (known) {
        const watermark = watermarkOf(agent, known.epoch)
        watermark.through = Math.max(watermark.through, known.storedThrough)
      }
      for (const watermark of agents.get(agent)?.values() ?? []) watermark.told = -1
      waiting.add(agent)
    },
    async start() {
      const tellAll = async () => {
        for (const agent of [...waiting]) if (!tell(agent)) waiting.delete(agent)
      }
      running = every(EVERY_MS, tellAll, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

function refresh<T>(map: Map<string, T>, key: string, value: T, sizeMax: number): void {
  map.delete(key)
  map.set(key, value)
  const first = map.keys().next().value
  if (map.size > sizeMax && first !== undefined) map.delete(first)
}
