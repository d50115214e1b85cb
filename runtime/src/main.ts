/** What every process does around its service: signals, a draining deadline, readiness for systemd, exit codes. */
import type { Logger } from 'pino'
import { systemClock } from './clock.ts'
import { messageOf, UserError } from './errors.ts'
import { notifySystemd } from './sd-notify.ts'
import type { Service } from './service.ts'

/** Exit codes: 0 stopped on request, 1 failed, 2 a person must mend something (config, port, credentials). */
export const EXIT_FAILED = 1
export const EXIT_USER_ERROR = 2

/** Below the ten seconds after which a container is killed. */
const DRAIN_MS_MAX = 8_000

/**
 * Runs until SIGINT or SIGTERM, then drains for at most `drainMsMax`; a second signal hurries.
 * @returns the exit code
 */
export async function runUntilSignal(
  service: Service,
  { log, drainMsMax = DRAIN_MS_MAX }: { log: Logger; drainMsMax?: number },
): Promise<number> {
  const starting = new AbortController()
  const draining = new AbortController()
  let signals = 0
  let onFirstSignal: () => void = () => undefined
  const stopRequested = new Promise<void>((resolve) => {
    onFirstSignal = resolve
  })
  const onSignal = (name: NodeJS.Signals) => {
    signals += 1
    if (signals === 1) {
      log.info({ signal: name }, 'stopping; a second signal hurries')
      starting.abort(new DOMException('stopped while starting', 'AbortError'))
      onFirstSignal()
    } else draining.abort(new DOMException('a second signal', 'AbortError'))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    await service.start(starting.signal)
    if (signals === 0) {
      log.info('ready')
      await notifySystemd('READY=1', log)
      await stopRequested
    }
    await notifySystemd('STOPPING=1', log)
    const cancelDeadline = systemClock.after(drainMsMax, () =>
      draining.abort(new DOMException(`draining took over ${drainMsMax} ms`, 'AbortError')),
    )
    await service.stop(draining.signal).finally(cancelDeadline)
    return 0
  } catch (error) {
    if (signals > 0 && starting.signal.aborted) return 0
    reportFatal(error, log)
    return error instanceof UserError ? EXIT_USER_ERROR : EXIT_FAILED
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

/** A mistake that a person can mend is said plainly; anything else with its stack. */
export function reportFatal(error: unknown, log: Logger): void {
  if (error instanceof UserError) log.fatal({ hint: error.hint }, error.message)
  else log.fatal({ err: error }, messageOf(error))
}
