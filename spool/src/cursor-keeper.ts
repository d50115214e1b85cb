/** Keeps the cursor file: lazily for what may be repeated after a crash, in time for what must not be. */
import type { Clock, FileSystem, Logger } from '@tributary/runtime'
import { type CursorFound, type CursorState, createCursorFile } from './cursor.ts'

const LAZY_MS = 1_000
/** Numbers reserved ahead: so many may be tombstoned for nothing after a crash that damaged the end of the spool. */
const RESERVE_AHEAD = 1_024

export interface CursorKeeper {
  /** Resolves when a cursor is on the disk that reserves numbers up to here. */
  reserve(throughSequence: number): Promise<void>
  /** Something that may be repeated after a crash has changed: written within a second. */
  changed(): void
  /** Writes now. */
  write(): Promise<void>
  /** What the cursor on the disk lets go of; a hole below it is explained. */
  readonly trimmedThrough: number
  /** Writes that all is in order, and lets go of the file. */
  close(): Promise<void>
}

export function createCursorKeeper(
  start: { readonly path: string; readonly found: CursorFound; readonly reservedThrough: number },
  dependencies: {
    readonly clock: Clock
    readonly log: Logger
    readonly fileSystem: FileSystem
    readonly state: () => Omit<CursorState, 'closed' | 'reservedThrough'>
  },
): CursorKeeper {
  const { clock, log, fileSystem } = dependencies
  const file = createCursorFile(start.path, fileSystem, start.found)
  let reservedThrough = start.reservedThrough
  let trimmedThrough = start.found.state?.trimmedThrough ?? 0
  let lastDurable = start.found.state?.durableThrough ?? 0
  let cancelTimer: (() => void) | undefined
  let failed = false
  let ended = false
  let previous: Promise<unknown> = Promise.resolve()

  function write(throughSequence: number, closed = false): Promise<void> {
    cancelTimer?.()
    cancelTimer = undefined
    const done = previous.then(async () => {
      const state = dependencies.state()
      const { durableThrough } = state
      // Fast writers reserve further ahead, so that a reservation is not a write of its own.
      const ahead = Math.max(RESERVE_AHEAD, 4 * (Math.max(throughSequence, durableThrough) - lastDurable))
      const reserve = closed ? durableThrough : Math.max(reservedThrough, throughSequence, durableThrough + ahead)
      await file.write({ ...state, closed, reservedThrough: reserve })
      reservedThrough = reserve
      trimmedThrough = state.trimmedThrough
      lastDurable = durableThrough
      failed = false
    })
    previous = done.catch(() => undefined)
    return done
  }
  function lazily(): void {
    write(0).catch((error) => {
      if (!failed)
        log.warn({ err: error }, 'the cursor of the spool cannot be written; after a crash records are sent again')
      failed = true
    })
  }
  return {
    async reserve(throughSequence) {
      if (throughSequence > reservedThrough) await write(throughSequence)
    },
    changed() {
      if (!ended) cancelTimer ??= clock.after(LAZY_MS, lazily)
    },
    write: () => write(0),
    get trimmedThrough() {
      return trimmedThrough
    },
    async close() {
      ended = true
      await write(0, true).catch((error) =>
        log.warn(
          { err: error },
          'the cursor of the spool cannot be written; after the next start records are sent again',
        ),
      )
      await previous
      cancelTimer?.()
      await file.close().catch(() => undefined)
    },
  }
}
