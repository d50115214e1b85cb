/**
 * Has dirty windows recomputed beside the loops: one batch at a time in the whole processor, and so seldom that live data do not
 * suffer. The state is only ever touched by the loops, see `repair-list.ts`.
 */
import { backoffDelayMs, type Clock, type Logger, messageOf } from '@tributary/runtime'
import type { InfluxQuery } from './influx-query.ts'
import { recompute } from './recompute.ts'
import type { RepairList } from './repair-list.ts'

const IDLE_MS = 500
const BACKOFF = { firstMs: 1_000, maxMs: 60_000 }
/** A batch that took very long may only have stood still. */
const PAUSE_MS_MAX = 60_000
/** A stable complaint is said again this often. */
const SAY_AGAIN_MS = 60_000

type DueList = Pick<RepairList, 'due' | 'contracts' | 'give'>

export interface RepairerOptions {
  /** Part of the time in which the database may be busy with this. */
  readonly share: number
}

export interface Repairer {
  /** Until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
  /** Why the database could not be asked last, undefined when it could; and how long the last batch took. */
  readonly error: string | undefined
  readonly lastBatchMs: number
}

export function createRepairer(
  { share }: RepairerOptions,
  {
    query,
    lists,
    clock,
    log,
  }: {
    query: InfluxQuery
    lists: readonly DueList[]
    clock: Clock
    log: Logger
  },
): Repairer {
  let error: string | undefined
  let lastBatchMs = 0
  let saidAtMs = Number.NEGATIVE_INFINITY
  let next = 0

  /** The partitions take turns. */
  function nextDue(): DueList | undefined {
    for (let i = 0; i < lists.length; i++) {
      const list = lists[(next + i) % lists.length]
      if (list === undefined || list.due.length === 0) continue
      next = (next + i + 1) % lists.length
      return list
    }
    return undefined
  }

  async function batch(list: DueList, signal: AbortSignal): Promise<void> {
    const startMs = clock.monotonicMs()
    const recomputed = await recompute(query, list.contracts, list.due, signal)
    lastBatchMs = clock.monotonicMs() - startMs
    list.give(recomputed)
    log.debug({ windows: recomputed.length, durationMs: Math.round(lastBatchMs) }, 'windows were recomputed')
  }

  return {
    async run(signal) {
      for (let failures = 0; !signal.aborted; ) {
        let waitMs = IDLE_MS
        const list = nextDue()
        if (list)
          try {
            await batch(list, signal)
            if (failures > 0) log.info('windows are recomputed again')
            failures = 0
            error = undefined
            waitMs = Math.min(lastBatchMs * (1 / share - 1), PAUSE_MS_MAX)
          } catch (failure) {
            if (signal.aborted) return
            failures += 1
            error = messageOf(failure)
            waitMs = backoffDelayMs(BACKOFF, failures)
            if (clock.monotonicMs() - saidAtMs >= SAY_AGAIN_MS) {
              saidAtMs = clock.monotonicMs()
              log.warn(
                { windows: list.due.length, delayMs: Math.round(waitMs), reason: error },
                'dirty windows could not be recomputed; they stay dirty, and it is tried again',
              )
            }
          }
        await clock.sleep(waitMs, signal).catch(() => undefined)
      }
    },
    get error() {
      return error
    },
    get lastBatchMs() {
      return lastBatchMs
    },
  }
}
