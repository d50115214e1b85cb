// Guarantee: a sample is in the file before its bytes are on the wire, and a reader in another process sees it at once.
// Append-only: a CSV file a device (`sequence,time_ms,flags`) and `events.ndjson`. What is torn by a kill is cut at the next start.
import { closeSync, existsSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Run, ValueAnomaly } from './device-model.ts'
import type { AnomalyConfig, BadValueConfig, FaultConfig } from './scenario.ts'

/** Bytes of all files together; then measuring stops, because what is not recorded cannot be checked. */
export const LEDGER_BYTES_MAX = 4 * 1024 ** 3
export const CSV_HEADER = 'sequence,time_ms,flags\n'
export const EVENTS_FILE = 'events.ndjson'

/** `lost_on_line`: certain. `lost_at_device`: dropped unacknowledged; when it had been sent it may have arrived all the same. */
export type LossReason = 'lost_on_line' | 'lost_at_device'

export interface Loss {
  readonly reason: LossReason
  /** `noise`, `truncate`, `wrong_checksum`, `dropout`, `unplugged`, `not_open`, `overrun`, `ring_full`, `stopped`. */
  readonly cause: string
  readonly sent: boolean
}

export type LedgerEvent =
  | { readonly type: 'run'; readonly atMs: number; readonly run: Run }
  /** Times are event times, by the device's own clock. */
  | {
      readonly type: 'anomaly'
      readonly atMs: number
      readonly device: string
      /** '' when it is about the device: `missing`. */
      readonly field: string
      readonly kind: AnomalyConfig['kind']
      readonly by: number | undefined
      readonly fromSequence: number
      readonly fromMs: number
      readonly untilMs: number
    }
  /** Times are those of the run. */
  | {
      readonly type: 'fault'
      readonly atMs: number
      readonly device: string
      readonly kind: FaultConfig['kind']
      readonly fromMs: number
      readonly untilMs: number
    }
  | ({
      readonly type: 'lost'
      readonly atMs: number
      readonly device: string
      readonly fromSequence: number
      readonly toSequence: number
    } & Loss)
  | { readonly type: 'measuring_stopped'; readonly atMs: number; readonly why: string; readonly samples: number }
  | { readonly type: 'stopped'; readonly atMs: number; readonly unacknowledgedSamples: number }

export interface Ledger {
  /** Last sequence of each device that an earlier run left. */
  readonly lastSequences: ReadonlyMap<string, number>
  readonly bytes: number
  sample(device: string, sequence: number, timeMs: number, flags: string): void
  event(event: LedgerEvent): void
  /** Joined with the one before when it follows it for the same reason. */
  lost(device: string, sequence: number, loss: Loss): void
  /** Hands everything to the operating system. */
  flush(): void
  close(): void
}

export const anomalyFlag = ({ kind, field }: ValueAnomaly): string => `${kind}:${field}`
export const refusedFlag = ({ kind, field }: BadValueConfig): string => `refused:${field}:${kind}`

export function openLedger(folder: string, devices: readonly string[], now: () => number): Ledger {
  mkdirSync(folder, { recursive: true })
  const lastSequences = new Map<string, number>()
  let bytes = 0
  const openFile = (name: string, header: string) => {
    const fd = openSync(join(folder, name), existsSync(join(folder, name)) ? 'r+' : 'w+')
    const last = cutTornTail(fd)
    let at = fstatSync(fd).size
    const append = (text: string) => {
      for (let data = Buffer.from(text, 'utf8'); data.length > 0; ) {
        const written = writeSync(fd, data, 0, data.length, at)
        at += written
        bytes += written
        data = data.subarray(written)
      }
    }
    bytes += at
    if (at === 0) append(header)
    return { append, last, close: () => closeSync(fd) }
  }
  const files = new Map(
    devices.map((device) => {
      const file = openFile(`${device}.csv`, CSV_HEADER)
      const sequence = Number.parseInt(file.last, 10)
      if (Number.isSafeInteger(sequence)) lastSequences.set(device, sequence)
      return [device, { ...file, rows: [] as string[] }]
    }),
  )
  const events = openFile(EVENTS_FILE, '')
  const lines: string[] = []
  const losses = new Map<string, Extract<LedgerEvent, { type: 'lost' }>>()
  const write = (event: LedgerEvent) => lines.push(`${JSON.stringify(event)}\n`)

  return {
    lastSequences,
    get bytes() {
      return bytes
    },
    sample(device, sequence, timeMs, flags) {
      files.get(device)?.rows.push(`${sequence},${timeMs},${flags}\n`)
    },
    event: write,
    lost(device, sequence, { reason, cause, sent }) {
      const open = losses.get(device)
      if (open?.toSequence === sequence - 1 && open.reason === reason && open.cause === cause && open.sent === sent) {
        losses.set(device, { ...open, toSequence: sequence })
        return
      }
      if (open) write(open)
      const range = { fromSequence: sequence, toSequence: sequence }
      losses.set(device, { type: 'lost', atMs: now(), device, ...range, reason, cause, sent })
    },
    flush() {
      for (const file of files.values()) {
        if (file.rows.length === 0) continue
        file.append(file.rows.join(''))
        file.rows.length = 0
      }
      for (const loss of losses.values()) write(loss)
      losses.clear()
      if (lines.length === 0) return
      events.append(lines.join(''))
      lines.length = 0
    },
    close() {
      for (const file of files.values()) file.close()
      events.close()
    },
  }
}

/** Cuts what follows the last newline. @returns the last whole line */
function cutTornTail(fd: number): string {
  const { size } = fstatSync(fd)
  const tail = Buffer.alloc(Math.min(size, 64 * 1024))
  readSync(fd, tail, 0, tail.length, size - tail.length)
  const end = tail.lastIndexOf(0x0a)
  const whole = size - tail.length + end + 1
  if (whole < size && (end >= 0 || tail.length === size)) ftruncateSync(fd, whole)
  return tail.subarray(tail.lastIndexOf(0x0a, end - 1) + 1, Math.max(end, 0)).toString('utf8')
}
