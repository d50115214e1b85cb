/**
 * Live samples at the pace of a flow: of each device at most one in an interval, with what came between folded into it, and not more
 * than so many a second over all. A chart that gets 300 messages a second takes half a core, one that gets 30 takes 3 %.
 */
import type { Batch, DeviceBlock, FieldColumn } from '@tributary/protocol'
import { type Clock, every, type Service } from '@tributary/runtime'

export type Fold = 'last' | 'mean' | 'min' | 'max'

export interface DownSampling {
  /** Empty: all. */
  readonly kind: string
  readonly device: string
  readonly everyMs: number
  readonly fold: Fold
}
export interface FlowSample {
  readonly device: string
  readonly kind: string
  readonly agent: string
  /** Of the newest sample in it, milliseconds since 1970. */
  readonly timeMs: number
  readonly fields: Readonly<Record<string, number | boolean | string>>
  /** How many samples are folded into it. */
  readonly samples: number
}
export interface DownSampler extends Service {
  take(batch: Batch): void
  readonly sent: number
  /** Samples of devices for which there was no room. */
  readonly dropped: number
}

/** Devices that may wait for their turn. */
export const WAITING_MAX = 500
export const MESSAGES_PER_SECOND_MAX = 50
const TICK_MS = 100
export const EVERY_MS_MIN = 100

interface Waiting {
  readonly device: string
  readonly kind: string
  agent: string
  timeMs: number
  samples: number
  readonly fields: Map<string, { value: number | boolean | string; count: number }>
}

export function createDownSampler(
  { kind, device, everyMs, fold }: DownSampling,
  send: (sample: FlowSample) => void,
  { clock }: { clock: Clock },
): DownSampler {
  /** In the order in which they came to wait. */
  const waiting = new Map<string, Waiting>()
  const mayGoAtMs = new Map<string, number>()
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let sent = 0
  let dropped = 0

  const tick = () => {
    const nowMs = clock.monotonicMs()
    let room = (MESSAGES_PER_SECOND_MAX * TICK_MS) / 1_000
    for (const [key, one] of waiting) {
      if (room === 0) break
      if ((mayGoAtMs.get(key) ?? 0) > nowMs) continue
      room -= 1
      waiting.delete(key)
      mayGoAtMs.delete(key)
      mayGoAtMs.set(key, nowMs + Math.max(EVERY_MS_MIN, everyMs))
      if (mayGoAtMs.size > WAITING_MAX) mayGoAtMs.delete(mayGoAtMs.keys().next().value as string)
      sent += 1
      send(sampleOf(one, fold))
    }
  }
  return {
    name: 'down-sampler',
    get sent() {
      return sent
    },
    get dropped() {
      return dropped
    },
    take({ header, blocks }) {
      for (const block of blocks) {
        if ((kind && block.kind !== kind) || (device && block.device !== device) || block.timesMs.length === 0) continue
        const key = `${block.kind}/${block.device}`
        const known = waiting.get(key)
        if (!known && waiting.size >= WAITING_MAX) {
          dropped += block.timesMs.length
          continue
        }
        const one = known ?? {
          device: block.device,
          kind: block.kind,
          agent: '',
          timeMs: 0,
          samples: 0,
          fields: new Map(),
        }
        waiting.set(key, one)
        one.agent = header.agent
        fill(one, block, fold)
      }
    },
    async start() {
      running = every(TICK_MS, tick, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
      waiting.clear()
    },
  }
}

function fill(one: Waiting, { timesMs, columns }: DeviceBlock, fold: Fold): void {
  const newestMs = timesMs.at(-1) as number
  const isNewer = newestMs >= one.timeMs
  one.timeMs = Math.max(one.timeMs, newestMs)
  one.samples += timesMs.length
  for (const column of columns) fillField(one, column, fold, isNewer)
}

function fillField(
  { fields }: Waiting,
  { field, type, values, present }: FieldColumn,
  fold: Fold,
  isNewer: boolean,
): void {
  for (let i = 0; i < values.length; i++) {
    if (present && present[i] === 0) continue
    const found = values[i] as number | string
    const value = type === 'boolean' ? found === 1 : found
    const before = fields.get(field)
    if (!before) fields.set(field, { value, count: 1 })
    else if (typeof value !== 'number' || typeof before.value !== 'number' || fold === 'last') {
      if (isNewer) before.value = value
    } else {
      before.value =
        fold === 'mean'
          ? before.value + value
          : fold === 'min'
            ? Math.min(before.value, value)
            : Math.max(before.value, value)
      before.count += 1
    }
  }
}

function sampleOf({ device, kind, agent, timeMs, samples, fields }: Waiting, fold: Fold): FlowSample {
  const folded = [...fields].map(([field, { value, count }]) => [
    field,
    fold === 'mean' && typeof value === 'number' ? value / count : value,
  ])
  return { device, kind, agent, timeMs, samples, fields: Object.fromEntries(folded) }
}
