/** The simulator as a process. */
import {
  createLogger,
  createMetrics,
  EXIT_FAILED,
  EXIT_USER_ERROR,
  type HostPort,
  type LogLevel,
  reportFatal,
  runUntilSignal,
  systemClock,
  UserError,
} from '@tributary/runtime'
import { loadScenario } from './scenario.ts'
import { createSimulator } from './simulator.ts'

/** Unacknowledged samples are waited for this long after SIGTERM. */
export const DRAIN_MS_MAX = 10_000

export interface RunSimulatorOptions {
  /** A path, or `demo`, `anomalies`, `late`, `steady` or `mqtt-only`. */
  readonly scenario: string
  readonly dataDir: string
  readonly seed?: number | undefined
  readonly rate?: number | undefined
  readonly durationMs?: number | undefined
  /** Where the site's broker listens; port 0: a free one, `simulator.json` says which. Default: a free one on loopback. */
  readonly mqtt?: HostPort | undefined
  readonly admin?: HostPort | undefined
  readonly logLevel?: LogLevel | undefined
}

/**
 * Runs until SIGTERM or SIGINT; SIGUSR2 stops measuring and keeps the links.
 * @returns the exit code
 */
export async function runSimulator(options: RunSimulatorOptions): Promise<number> {
  const log = createLogger('simulator', options.logLevel ?? 'info')
  try {
    const simulator = createSimulator(
      {
        scenario: await loadScenario(options.scenario),
        dataDir: options.dataDir,
        seed: options.seed,
        rate: options.rate,
        durationMs: options.durationMs,
        mqtt: options.mqtt ?? { host: '127.0.0.1', port: 0 },
        admin: options.admin ?? { host: '127.0.0.1', port: 9604 },
      },
      { clock: systemClock, log, metrics: createMetrics('simulator') },
    )
    const onStopMeasuring = () => simulator.stopMeasuring('SIGUSR2')
    process.on('SIGUSR2', onStopMeasuring)
    try {
      return await runUntilSignal(simulator, { log, drainMsMax: DRAIN_MS_MAX })
    } finally {
      process.off('SIGUSR2', onStopMeasuring)
    }
  } catch (error) {
    reportFatal(error, log)
    return error instanceof UserError ? EXIT_USER_ERROR : EXIT_FAILED
  }
}
