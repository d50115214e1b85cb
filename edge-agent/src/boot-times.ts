/**
 * What is known of the clock in each boot of the machine: a small file beside the spool folder.
 *
 * Event time = monotonic time since the machine's start + an offset that belongs to the boot. Readings taken before the clock was
 * trusted were stamped with a provisional offset; the correction of a boot is decided once, is durable before it is used, and does not
 * change any more: so a batch is corrected alike however often it is sent, and no reading of a boot overtakes another.
 *
 * Guarantee: readings of a boot that ended before its clock was trusted lie after the end of the boot before and before the
 * start of the next one whose time is known. A damaged or lost file costs corrections that were still to be made, nothing else.
 */
import { crc32 } from 'node:zlib'
import {
  type Clock,
  type FileSystem,
  isPlausibleTime,
  type Logger,
  messageOf,
  nodeFileSystem,
  readFileWhole,
  writeFileAtomic,
} from '@tributary/runtime'
import { z } from 'zod'
import type { Timeline } from './event-time.ts'

/** Boots remembered; beyond it the oldest is forgotten, and what was never corrected of it goes as it was stamped. */
export const BOOTS_MAX = 64
const FILE_BYTES_MAX = 64 * 1024

export type TimeSource = 'system' | 'gateway'

const offset = z.int()
const bootSchema = z.object({
  id: z.string().max(64),
  /** Readings are stamped with this while the clock is not trusted. */
  provisionalOffsetMs: offset,
  /** What readings stamped before the clock was trusted are corrected to. */
  correction: z.object({ offsetMs: offset, quality: z.enum(['corrected', 'estimated']) }).optional(),
  /** Once the clock is trusted: what readings are stamped with now. */
  trusted: z.object({ offsetMs: offset, by: z.enum(['system', 'gateway']) }).optional(),
  /** The latest monotonic time known of the boot, milliseconds. */
  lastMs: z.number().nonnegative(),
})
const fileSchema = z.object({ version: z.literal(1), boots: z.array(bootSchema).max(BOOTS_MAX) })
type Mutable<T> = { -readonly [K in keyof T]: T[K] }
export type Boot = Readonly<z.infer<typeof bootSchema>>
export type Correction = NonNullable<Boot['correction']>

export interface BootTimes {
  /** This boot. */
  readonly current: Boot
  find(bootId: string): Boot | undefined
  /** A record of the spool was made at this time of its boot, with this offset; a boot that the file does not know is entered. */
  seen(bootId: string, monotonicMs: number, timeline: Timeline): void
  /**
   * The time of this boot is known: decides its correction, and those of the boots before that have none. Durable when it resolves, as far as
   * the disk takes it.
   */
  trust(offsetMs: number, by: TimeSource, nowMs: number): Promise<void>
  /** What readings are stamped with from now on; no correction changes. */
  move(offsetMs: number, by: TimeSource | undefined): void
  save(nowMs: number): Promise<void>
}

export const bootTimesPath = (spoolFolder: string): string => `${spoolFolder.replace(/\/+$/, '')}.clock`

export async function openBootTimes(
  path: string,
  bootId: string,
  clock: Clock,
  { log, fileSystem = nodeFileSystem }: { log: Logger; fileSystem?: FileSystem },
): Promise<BootTimes> {
  const boots: Mutable<Boot>[] = await load(path, fileSystem, log)
  const current = enter(boots, bootId, { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() })
  let saying = true
  let saving: Promise<void> = Promise.resolve()

  const save = (nowMs: number): Promise<void> => {
    current.lastMs = Math.max(current.lastMs, Math.floor(nowMs))
    const bytes = encode(boots)
    saving = saving.then(async () => {
      try {
        await writeFileAtomic(path, bytes, fileSystem)
        saying = true
      } catch (error) {
        if (saying) log.warn({ err: error, path }, 'what is known of the clock could not be saved; it is tried again')
        saying = false
      }
    })
    return saving
  }
  return {
    current,
    find: (id) => boots.find((boot) => boot.id === id),
    seen(id, monotonicMs, { offsetMs, quality }) {
      let boot = boots.find((one) => one.id === id)
      if (!boot) {
        boot = { id, provisionalOffsetMs: offsetMs, lastMs: 0 }
        if (quality === 'trusted') boot.correction = { offsetMs, quality: 'corrected' }
        boots.splice(-1, 0, boot)
        if (boots.length > BOOTS_MAX) boots.shift()
      }
      boot.lastMs = Math.max(boot.lastMs, Math.floor(monotonicMs))
    },
    async trust(offsetMs, by, nowMs) {
      current.correction ??= { offsetMs, quality: 'corrected' }
      settle(boots)
      current.trusted = { offsetMs, by }
      await save(nowMs)
    },
    move(offsetMs, by) {
      if (by === undefined) current.provisionalOffsetMs = offsetMs
      else current.trusted = { offsetMs, by }
    },
    save,
  }
}

/** The entry of this boot: the one that a process before us made, or a new one at the end. */
function enter(
  boots: Mutable<Boot>[],
  bootId: string,
  { wallMs, monotonicMs }: { wallMs: number; monotonicMs: number },
): Mutable<Boot> {
  const last = boots.at(-1)
  // A clock that ran backwards is another one: a container or a machine was brought back from a copy.
  if (last && baseOf(last.id) === bootId && monotonicMs >= last.lastMs) return last
  const places = boots.filter((boot) => baseOf(boot.id) === bootId).length
  const boot: Mutable<Boot> = {
    id: places === 0 ? bootId : `${bootId}~${places + 1}`,
    provisionalOffsetMs: Math.max(Math.round(wallMs - monotonicMs), Math.ceil(endOfLast(boots))),
    lastMs: Math.floor(monotonicMs),
  }
  boots.push(boot)
  while (boots.length > BOOTS_MAX) boots.shift()
  return boot
}

const baseOf = (id: string): string => id.split('~')[0] as string

/** The earliest event time at which the next boot can have begun: what is known of the last known boot, and how long those after it ran. */
function endOfLast(boots: readonly Boot[]): number {
  let endMs = Number.NEGATIVE_INFINITY
  for (const boot of boots) endMs = (boot.correction?.offsetMs ?? endMs) + boot.lastMs
  return endMs
}

/** Decides the corrections of boots without one that a boot with one follows. */
function settle(boots: Mutable<Boot>[]): void {
  // Backwards: a boot has ended before the next one began.
  const latest = new Map<Boot, number>()
  let nextStartMs = Number.POSITIVE_INFINITY
  for (const boot of [...boots].reverse()) {
    nextStartMs = boot.correction?.offsetMs ?? nextStartMs - boot.lastMs
    latest.set(boot, nextStartMs)
  }
  let endMs = Number.NEGATIVE_INFINITY
  for (const boot of boots) {
    const latestMs = latest.get(boot) as number
    if (!boot.correction && latestMs !== Number.POSITIVE_INFINITY) {
      // Nothing before it is known either: its own clock counts when that can be, else it ended as the next one began.
      const ownMs =
        Number.isFinite(endMs) || isPlausibleTime(boot.provisionalOffsetMs) ? boot.provisionalOffsetMs : latestMs
      const offsetMs = Math.floor(Math.min(latestMs, Math.max(endMs, ownMs)))
      boot.correction = { offsetMs, quality: 'estimated' }
    }
    endMs = (boot.correction?.offsetMs ?? endMs) + boot.lastMs
  }
}

/** The first line is the CRC-32 of the rest in hexadecimal, then JSON. */
function encode(boots: readonly Boot[]): Uint8Array {
  const text = JSON.stringify({ version: 1, boots })
  return Buffer.from(`${crc32(text).toString(16).padStart(8, '0')}\n${text}`)
}

async function load(path: string, fileSystem: FileSystem, log: Logger): Promise<Mutable<Boot>[]> {
  try {
    const bytes = await readFileWhole(path, fileSystem)
    if (bytes === undefined) return []
    if (bytes.length > FILE_BYTES_MAX) throw new Error(`${bytes.length} bytes`)
    const text = Buffer.from(bytes).toString('utf8')
    const json = text.slice(9)
    if (text.slice(0, 9) !== `${crc32(json).toString(16).padStart(8, '0')}\n`) throw new Error('the checksum is wrong')
    return fileSchema.parse(JSON.parse(json)).boots as Mutable<Boot>[]
  } catch (error) {
    const hint = 'nothing to do: readings of earlier boots that were not sent yet keep the times they were stamped with'
    log.warn({ path, hint }, `what was known of the clock cannot be read, and is made anew: ${messageOf(error)}`)
    return []
  }
}
