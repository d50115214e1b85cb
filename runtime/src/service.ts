/** Creating does nothing; `start` does, `stop` undoes it. */
import type { Logger } from 'pino'

export interface Service {
  readonly name: string
  /** Resolves when it works; rejects when it cannot. */
  start(signal: AbortSignal): Promise<void>
  /** Drains and releases; the signal aborts when there is no more time to drain. Safe to call when `start` failed. */
  stop(signal: AbortSignal): Promise<void>
}

/** Starts in order, stops in reverse; when one cannot start, those before it are stopped. */
export function runInOrder(name: string, services: readonly Service[], log: Logger): Service {
  let started: Service[] = []
  const stop = async (signal: AbortSignal) => {
    const errors: unknown[] = []
    for (const service of started.reverse()) {
      log.debug({ service: service.name }, 'stopping')
      await service.stop(signal).catch((error) => errors.push(error))
    }
    started = []
    if (errors.length > 0) throw new AggregateError(errors, `${name}: ${errors.length} parts did not stop cleanly`)
  }
  return {
    name,
    async start(signal) {
      for (const service of services) {
        started.push(service)
        try {
          log.debug({ service: service.name }, 'starting')
          await service.start(signal)
        } catch (error) {
          await stop(AbortSignal.timeout(5_000)).catch((stopError) =>
            log.warn({ err: stopError }, 'while undoing a start that failed'),
          )
          throw error
        }
      }
    },
    stop,
  }
}
