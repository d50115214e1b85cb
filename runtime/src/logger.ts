import { type DestinationStream, type Logger, pino } from 'pino'

export type { Logger } from 'pino'
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * JSON lines on standard error, written synchronously: the last line before a crash is the one that is needed.
 * error: data lost or a person must act. warn: unexpected, nothing lost. info: a change of state. debug: the rest.
 */
export function createLogger(
  name: string,
  level: LogLevel,
  destination: DestinationStream = pino.destination({ fd: 2, sync: true }),
): Logger {
  return pino(
    {
      name,
      level,
      base: { name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
}
