/**
 * Plays a recording back on a pseudo-terminal under a stable path: the same bytes in the same order, in the original rhythm or faster.
 *
 * It begins when somebody opens the port, and waits while nobody has it open, so that nothing is played to nobody. Where the device of
 * the recording went away, the terminal goes away for as long. What is damaged in the file is told and left out; the rest is played.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import {
  parseRecordingEntry,
  parseRecordingHeader,
  RECORDING_LINE_BYTES_MAX,
  type RecordingEntry,
  type RecordingHeader,
} from '@tributary/protocol'
import { type Clock, messageOf, UserError } from '@tributary/runtime'
import { linkPort, refuseToReplace, unlinkPort } from './port-link.ts'
import { loadPseudoTerminals, type PseudoTerminal } from './pseudo-terminal.ts'

/** A host flushes the line as it opens it. */
const SETTLE_AFTER_OPEN_MS = 100
/** The terminal stays for so long after the last byte: what its reader has not read by then is gone. */
const HOLD_MS = 1_000
const LOOK_MS = 20
const PROBLEMS_MAX = 10

export interface ReplayOptions {
  readonly file: string
  readonly link: string
  /** 1: as it was; Infinity: as fast as it is read. */
  readonly speed: number
}

export interface ReplayDependencies {
  readonly clock: Clock
  readonly onNotice: (text: string) => void
  /** The port is there: this path leads to it. */
  readonly onReady: (link: string, header: RecordingHeader) => void
}

export interface ReplaySummary {
  bytes: number
  chunks: number
  seconds: number
  /** Bytes that the reader sent, such as acknowledgements; nothing acts on them. */
  hostBytes: number
  /** Lines of the file that could not be read. */
  damagedLines: number
  /** The recording says how it ended; one that was cut off does not. */
  complete: boolean
}

/** @throws UserError when the file is no recording; the signal's reason when it aborts */
export async function replayRecording(
  { file, link, speed }: ReplayOptions,
  { clock, onNotice, onReady }: ReplayDependencies,
  signal: AbortSignal,
): Promise<ReplaySummary> {
  const summary: ReplaySummary = { bytes: 0, chunks: 0, seconds: 0, hostBytes: 0, damagedLines: 0, complete: false }
  refuseToReplace(link)
  const lines = readLines(file)
  const first = await lines.next()
  const header = parseRecordingHeader(first.done ? '' : first.value.text)
  if ('problem' in header)
    throw new UserError(`${file}: ${header.problem}`, { hint: '`tributary record` makes recordings' })
  const openTerminal = await loadPseudoTerminals()
  let terminal: PseudoTerminal | undefined
  const plug = () => {
    const plugged = openTerminal()
    try {
      linkPort(link, plugged.path)
    } catch (error) {
      plugged.close()
      throw new UserError(`${link} cannot be made: ${messageOf(error)}`, {
        cause: error,
        hint: 'give a path with --link',
      })
    }
    terminal = plugged
  }
  const unplug = () => {
    const unplugged = terminal
    terminal = undefined
    if (!unplugged) return
    unlinkPort(link, unplugged.path)
    unplugged.close()
  }
  const isOpen = () => {
    const polled = terminal?.poll()
    summary.hostBytes += polled?.received.length ?? 0
    return polled?.open === true
  }
  /** The moment at which the recording began, on our monotonic clock; moves on while nobody reads. */
  let beganAtMs: number | undefined
  const dueMs = (afterMs: number) => (beganAtMs as number) + (speed === Infinity ? 0 : afterMs / speed)
  const waitForReader = async (afterMs: number) => {
    if (beganAtMs !== undefined && isOpen()) return
    if (!isOpen()) onNotice(`waiting for somebody to open ${link}`)
    while (!isOpen()) await clock.sleep(LOOK_MS, signal)
    await clock.sleep(SETTLE_AFTER_OPEN_MS, signal)
    const nowMs = clock.monotonicMs()
    if (beganAtMs === undefined || nowMs > dueMs(afterMs))
      beganAtMs = nowMs - (speed === Infinity ? 0 : afterMs / speed)
  }
  const sleepUntilDue = async (afterMs: number) => {
    for (;;) {
      const leftMs = dueMs(afterMs) - clock.monotonicMs()
      if (leftMs <= 0) return
      await clock.sleep(Math.min(leftMs, LOOK_MS), signal)
      isOpen()
    }
  }
  const send = async (entry: Extract<RecordingEntry, { bytes: Uint8Array }>) => {
    await waitForReader(entry.afterMs)
    await sleepUntilDue(entry.afterMs)
    for (let left = entry.bytes; left.length > 0; ) {
      const written = terminal?.write(left) ?? 0
      left = left.subarray(written)
      if (left.length === 0) break
      if (!isOpen()) await waitForReader(entry.afterMs)
      else await clock.sleep(1, signal)
    }
    summary.bytes += entry.bytes.length
    summary.chunks++
  }

  const startedAtMs = clock.monotonicMs()
  try {
    plug()
    onReady(link, header)
    for await (const { number, text, ended } of lines) {
      signal.throwIfAborted()
      const entry = parseRecordingEntry(text)
      if ('problem' in entry) {
        summary.damagedLines++
        if (summary.damagedLines <= PROBLEMS_MAX)
          onNotice(`${file}:${number}: ${ended ? entry.problem : 'the recording was cut off here'}; left out`)
        continue
      }
      if ('bytes' in entry) await send(entry)
      else if (entry.event === 'end') summary.complete = true
      else if (entry.event === 'closed' && terminal && summary.chunks > 0) {
        await sleepUntilDue(entry.afterMs)
        await clock.sleep(LOOK_MS, signal)
        unplug()
      } else if (entry.event === 'opened' && !terminal) {
        await sleepUntilDue(entry.afterMs)
        plug()
      }
    }
    summary.seconds = (clock.monotonicMs() - startedAtMs) / 1_000
    const heldUntilMs = clock.monotonicMs() + HOLD_MS
    while (isOpen() && clock.monotonicMs() < heldUntilMs) await clock.sleep(LOOK_MS, signal)
    return summary
  } finally {
    unplug()
    await lines.return(undefined)
  }
}

/** @param file read line by line, whatever its size; `ended` is false for a last line without its newline */
async function* readLines(file: string): AsyncGenerator<{ number: number; text: string; ended: boolean }> {
  const size = await stat(file).then(
    (found) => found.size,
    (error) => {
      throw new UserError(`${file} cannot be read: ${messageOf(error)}`, { cause: error })
    },
  )
  const input = createReadStream(file, { encoding: 'latin1' })
  let number = 0
  let read = 0
  try {
    for await (const text of createInterface({ input, crlfDelay: Infinity })) {
      number++
      read += text.length + 1
      if (text.length > RECORDING_LINE_BYTES_MAX) yield { number, text: '', ended: true }
      else if (text !== '') yield { number, text: Buffer.from(text, 'latin1').toString('utf8'), ended: read <= size }
    }
  } finally {
    input.destroy()
  }
}
