/**
 * Writes what a serial port says to a file, byte for byte with times: for a look at a device, and for `tributary simulate --replay`.
 *
 * Guarantee: every byte that was read is in the file before the next one is read, in order, and whatever ends the program the file is
 * whole up to its last line. On the disk within `SYNC_MS`. Not: bytes that another program reads from the same port meanwhile.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { encodeRecordingEntry, encodeRecordingHeader, type RecordingEntry } from '@tributary/protocol'
import { type Clock, errorCode, messageOf, UserError, VERSION } from '@tributary/runtime'
import { type PortHolder, portHolders } from './inputs/port-holders.ts'
import { closePort, openPort, whyPortIsGone } from './inputs/serial-port.ts'

const SYNC_MS = 5_000
const CHECK_MS = 1_000
const REOPEN_MS = 250

export interface RecordOptions {
  readonly path: string
  readonly baud: number
  readonly output: string
  /** Bytes of the file; then the recording ends. */
  readonly bytesMax: number
  readonly forMs: number | undefined
}

export interface RecordingCounts {
  /** Of the port. */
  bytes: number
  chunks: number
  /** Newlines, for text; zero bytes, for COBS. */
  newlines: number
  zeros: number
  /** How often the port was opened. */
  opened: number
  fileBytes: number
}

export interface RecordingSummary extends Readonly<RecordingCounts> {
  readonly seconds: number
  readonly endedBecause: string
}

export interface RecordDependencies {
  readonly clock: Clock
  /** Called about once a second. */
  readonly onProgress: (counts: Readonly<RecordingCounts>, seconds: number) => void
  /** Something that a person should know: the device went away, came back, is open elsewhere. */
  readonly onNotice: (text: string) => void
}

/**
 * Records until the signal aborts, the time is over or the file is full. A port that goes away is waited for.
 * @throws UserError when the port cannot be opened at first, or the file not be written
 */
export async function recordPort(
  options: RecordOptions,
  { clock, onProgress, onNotice }: RecordDependencies,
  signal: AbortSignal,
): Promise<RecordingSummary> {
  const { path, baud, output } = options
  const counts: RecordingCounts = { bytes: 0, chunks: 0, newlines: 0, zeros: 0, opened: 0, fileBytes: 0 }
  // First the port: a mistake there leaves no file behind.
  let port = await openPort({ path, baud, keepDtr: true })
  let file: number
  try {
    file = openOutput(output)
  } catch (error) {
    await closePort(port, clock)
    throw error
  }
  const startedAtMs = clock.monotonicMs()
  const elapsedMs = () => clock.monotonicMs() - startedAtMs
  const ending = new AbortController()
  let failure: unknown
  const end = (why: string) => ending.abort(why)
  const write = (text: string) => {
    try {
      for (let data = Buffer.from(text); data.length > 0; ) data = data.subarray(writeSync(file, data))
      counts.fileBytes += Buffer.byteLength(text)
    } catch (error) {
      failure = new UserError(`${output} cannot be written: ${messageOf(error)}`, {
        cause: error,
        hint: 'what was recorded up to here is whole; free some space, and record into another file',
      })
      end('the file cannot be written')
    }
  }
  const note = (entry: RecordingEntry) => write(encodeRecordingEntry(entry))
  const take = (bytes: Buffer) => {
    if (ending.signal.aborted) return
    const line = encodeRecordingEntry({ afterMs: elapsedMs(), bytes })
    if (counts.fileBytes + line.length > options.bytesMax) return end(`the file has ${options.bytesMax} bytes`)
    write(line)
    counts.bytes += bytes.length
    counts.chunks++
    for (const byte of bytes) {
      if (byte === 0x0a) counts.newlines++
      else if (byte === 0) counts.zeros++
    }
  }
  const readUntilGone = (opened: typeof port): Promise<string | undefined> =>
    new Promise((resolve) => {
      const gone = (why?: string) => {
        cancel()
        ending.signal.removeEventListener('abort', onEnd)
        opened.removeAllListeners('data')
        closePort(opened, clock).then(() => resolve(why))
      }
      const onEnd = () => gone()
      const check = async () => {
        const why = await whyPortIsGone(opened, path)
        if (why !== undefined) gone(why)
        else if (!ending.signal.aborted) cancel = clock.after(CHECK_MS, () => void check())
      }
      let cancel = clock.after(CHECK_MS, () => void check())
      opened.on('data', take)
      opened.once('end', () => gone(`${path} was unplugged`))
      opened.once('close', () => gone(`${path} was unplugged`))
      ending.signal.addEventListener('abort', onEnd, { once: true })
      if (ending.signal.aborted) onEnd()
      else if (!opened.isOpen || opened.closing) gone(`${path} was unplugged`)
    })
  const reopen = async (): Promise<typeof port | undefined> => {
    while (!ending.signal.aborted) {
      await clock.sleep(REOPEN_MS, ending.signal).catch(() => undefined)
      if (ending.signal.aborted) break
      const found = await openPort({ path, baud, keepDtr: true }).catch(() => undefined)
      if (found) return found
    }
    return undefined
  }

  const onStop = () => end('asked to stop')
  signal.addEventListener('abort', onStop, { once: true })
  if (signal.aborted) onStop()
  const cancelEnd = options.forMs === undefined ? undefined : clock.after(options.forMs, () => end('the time is over'))
  let syncedAtMs = startedAtMs
  let cancelProgress: (() => void) | undefined
  const progress = () => {
    onProgress(counts, elapsedMs() / 1_000)
    if (clock.monotonicMs() - syncedAtMs >= SYNC_MS) {
      syncedAtMs = clock.monotonicMs()
      fsyncSync(file)
    }
    cancelProgress = clock.after(CHECK_MS, progress)
  }
  try {
    write(encodeRecordingHeader({ port: path, baud, startedAtMs: clock.wallMs(), program: VERSION }))
    progress()
    for (;;) {
      counts.opened++
      note({ afterMs: elapsedMs(), event: 'opened', detail: '' })
      const others = (await portHolders(path)).filter(({ pid }) => pid !== process.pid)
      if (others.length > 0)
        onNotice(`${path} is open in ${named(others)} too: each byte goes to one reader only, so some are missing here`)
      const why = await readUntilGone(port)
      if (ending.signal.aborted || why === undefined) break
      note({ afterMs: elapsedMs(), event: 'closed', detail: why })
      onNotice(`${why}; waiting for it`)
      const found = await reopen()
      if (!found) break
      port = found
      onNotice(`${path} is back`)
    }
    if (failure !== undefined) throw failure
    const endedBecause = String(ending.signal.reason)
    note({ afterMs: elapsedMs(), event: 'end', detail: endedBecause })
    return { ...counts, seconds: elapsedMs() / 1_000, endedBecause }
  } finally {
    cancelEnd?.()
    cancelProgress?.()
    signal.removeEventListener('abort', onStop)
    fsyncSync(file)
    closeSync(file)
  }
}

const named = (holders: readonly PortHolder[]): string =>
  holders.map(({ pid, command }) => `${command} (process ${pid})`).join(', ')

/** A new file, never one that is there: it may be the only recording of something rare. */
function openOutput(output: string): number {
  try {
    return openSync(output, 'wx', 0o644)
  } catch (error) {
    if (errorCode(error) === 'EEXIST')
      throw new UserError(`${output} exists already`, { cause: error, hint: 'choose another name with --output' })
    throw new UserError(`${output} cannot be written: ${messageOf(error)}`, { cause: error })
  }
}
