/** `tributary spool export`: the readings that lie in a spool, as text, or its batches as files. */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Batch, decodeBatch } from '@tributary/protocol'
import { isAbort, messageOf, systemClock, UserError } from '@tributary/runtime'
import { inspectSpool, readSpool } from '@tributary/spool'
import { batchText, CSV_HEAD, type ExportFormat, type TimeBounds } from '../export-rows.ts'
import { count } from '../print.ts'
import { createProgress } from '../progress.ts'
import { isUnsent, type ReadRecord, readRecord } from '../spool-record.ts'
import { openTextOutput } from '../text-output.ts'

const EXIT_INTERRUPTED = 130

export interface ExportOptions {
  readonly format: ExportFormat | 'raw'
  /** Event times, milliseconds since 1970. */
  readonly from?: number
  readonly to?: number
  readonly unsent?: boolean
  readonly output?: string
}

interface Written {
  readonly readings: number
  readonly windows: number
}

/** Where it goes: text into a stream, or a file a batch. */
interface Outlet {
  /** @param batch undefined when the record is no batch that can be read */
  write(batch: Batch | undefined, record: ReadRecord, sequence: number): Promise<Written>
  close(): Promise<void>
}

const NOTHING: Written = { readings: 0, windows: 0 }

export async function exportReadings(folder: string, options: ExportOptions): Promise<void> {
  const { from: fromMs = Number.NEGATIVE_INFINITY, to: toMs = Number.POSITIVE_INFINITY } = options
  if (fromMs >= toMs) throw new UserError('--from is not before --to', { hint: 'give an earlier --from' })
  const inspection = await inspectSpool(folder)
  const stopping = new AbortController()
  const onSignal = () => stopping.abort(new DOMException('interrupted', 'AbortError'))
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const shown = createProgress(process.stderr, systemClock)
  const totals = { batches: 0, readings: 0, windows: 0, unreadable: 0 }
  try {
    const bounds = { fromMs, toMs }
    const outlet =
      options.format === 'raw'
        ? await rawOutlet(options.output, bounds)
        : await textOutlet(options.format, options.output, bounds, stopping.signal)
    try {
      for await (const { sequence, payload } of readSpool(folder)) {
        stopping.signal.throwIfAborted()
        if (options.unsent && !isUnsent(inspection, sequence)) continue
        const record = await readRecord(payload)
        const batch = decoded(record, sequence)
        if (!batch) totals.unreadable += 1
        const { readings, windows } = await outlet.write(batch, record, sequence)
        if (readings + windows > 0) totals.batches += 1
        totals.readings += readings
        totals.windows += windows
        shown.say(
          () => `batch ${count(sequence)} of ${count(inspection.lastSequence)}, ${count(totals.readings)} readings`,
        )
        // A signal is heard between two turns of the event loop.
        if (sequence % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      await outlet.close()
    }
  } catch (error) {
    if (!stopping.signal.aborted || !isAbort(error)) throw error
  } finally {
    shown.done()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
  const { batches, readings, windows, unreadable } = totals
  const how = stopping.signal.aborted ? 'interrupted after ' : ''
  const more = windows > 0 ? ` and ${count(windows)} windows of readings that were given up` : ''
  const where = options.output === undefined ? '' : ` → ${options.output}`
  process.stderr.write(`${how}${count(readings)} readings${more} in ${count(batches)} batches${where}\n`)
  // What a reader that has stopped does not take would keep us.
  if (stopping.signal.aborted) process.exit(EXIT_INTERRUPTED)
  if (unreadable === 0) return
  process.stderr.write(`${count(unreadable)} records are no batches that this version can read\n`)
  process.exitCode = 1
}

function decoded({ batch, mistake }: ReadRecord, sequence: number): Batch | undefined {
  try {
    if (mistake !== undefined) throw new Error(mistake)
    return decodeBatch(batch)
  } catch (error) {
    process.stderr.write(`record ${count(sequence)}: ${messageOf(error)}\n`)
    return undefined
  }
}

/** @param path of a new file; standard output when left out */
async function textOutlet(
  format: ExportFormat,
  path: string | undefined,
  bounds: TimeBounds,
  signal: AbortSignal,
): Promise<Outlet> {
  const output = await openTextOutput(path, { overwrite: false, signal })
  if (format === 'csv') await output.write(`${CSV_HEAD}\n`)
  return {
    async write(batch) {
      if (!batch) return NOTHING
      const { lines, ...counts } = batchText(batch, format, bounds)
      await output.write(lines)
      return counts
    },
    close: () => output.close(),
  }
}

/** Without bounds every record is written, also what is no batch: it may be the only copy. */
async function rawOutlet(folder: string | undefined, bounds: TimeBounds): Promise<Outlet> {
  if (folder === undefined)
    throw new UserError('raw batches go into a folder', { hint: 'name a new or empty one with --output' })
  await mkdir(folder, { recursive: true }).catch((error) => {
    throw new UserError(`${folder} cannot be made: ${messageOf(error)}`, {
      cause: error,
      hint: 'give another --output',
    })
  })
  if ((await readdir(folder)).length > 0)
    throw new UserError(`${folder} is not empty`, { hint: 'give a new folder with --output; nothing is overwritten' })
  const isBounded = Number.isFinite(bounds.fromMs) || Number.isFinite(bounds.toMs)
  return {
    async write(batch, record, sequence) {
      const { lines: _, ...counts } = batch ? batchText(batch, 'ndjson', bounds) : { lines: '', ...NOTHING }
      if (isBounded && counts.readings + counts.windows === 0) return counts
      const whose = batch
        ? `-${batch.header.agent}-${batch.header.epoch}-${batch.header.sequence}.batch`
        : '.unreadable'
      await writeFile(join(folder, `${String(sequence).padStart(12, '0')}${whose}`), record.batch, { flag: 'wx' })
      return counts
    },
    close: async () => undefined,
  }
}
