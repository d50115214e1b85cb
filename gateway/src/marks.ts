// Guarantee: a batch that is marked here was on this gateway's disk. Not: that every batch that was is still marked: at the
// limits, and when the file is damaged, marks are forgotten, a repeat slips through, and the processor deduplicates.
import { crc32 } from 'node:zlib'
import { type KeptWatermark, type WatermarkTotals, watermarkTotals } from '@tributary/protocol'
import { type FileSystem, type Logger, messageOf, readFileWhole, writeFileAtomic } from '@tributary/runtime'
import { z } from 'zod'
import { createRangeSet, type RangeSet } from './range-set.ts'

export const EPOCHS_PER_AGENT_MAX = 16
export const RANGES_PER_EPOCH_MAX = 1_024
export const AGENTS_MAX = 20_000

/** What the stream said of itself when we last heard of it; tells a stream that lost its data from one that did not. */
export interface StreamMark {
  readonly created: string
  readonly lastSequence: number
}

export interface Marks {
  has(agent: string, epoch: string, sequence: number): boolean
  add(agent: string, epoch: string, sequence: number): void
  /** The processor has everything of the epoch up to here: it was received, then. */
  stored(agent: string, epoch: string, sequence: number, totals?: WatermarkTotals): void
  /** The watermark that was told last; undefined when nothing is known of the epoch. */
  watermark(agent: string, epoch: string): KeptWatermark | undefined
  /** What was received is not here any more: it is taken again when it comes again. */
  lost(agent: string, epoch: string, fromSequence: number, toSequence: number): void
  /** Of the epoch heard of last. */
  latest(agent: string): { epoch: string; receivedThrough: number; storedThrough: number } | undefined
  streamMark: StreamMark | undefined
  /** Reads the file; a missing or damaged one leaves the marks empty. */
  load(): Promise<void>
  /** Durable when it resolves. */
  save(): Promise<void>
}

interface EpochMarks {
  readonly received: RangeSet
  storedThrough: number
  totals: WatermarkTotals | undefined
}

const fileSchema = z.object({
  spoolEpoch: z.string(),
  stream: z.object({ created: z.string(), lastSequence: z.number() }).optional(),
  agents: z.array(
    z.tuple([
      z.string(),
      z.array(
        z.tuple([
          z.string(),
          z.number(),
          z.array(z.tuple([z.number(), z.number()])),
          watermarkTotals.nullable().optional(),
        ]),
      ),
    ]),
  ),
})

/**
 * @param path the file: one line with the CRC-32 of the rest in hexadecimal, then JSON
 */
export function createMarks(
  path: string,
  /** The epoch of the spool that the marks belong to: with another spool they would promise what is not there. */
  spoolEpoch: string,
  { log, fileSystem }: { log: Logger; fileSystem?: FileSystem },
): Marks {
  // Both maps are kept in the order of last receipt, so that the first is the one to forget.
  const agents = new Map<string, Map<string, EpochMarks>>()
  let streamMark: StreamMark | undefined

  const find = (agent: string, epoch: string) => agents.get(agent)?.get(epoch)
  const touch = (agent: string, epoch: string): EpochMarks => {
    const epochs = agents.get(agent) ?? new Map<string, EpochMarks>()
    agents.delete(agent)
    agents.set(agent, epochs)
    const marks = epochs.get(epoch) ?? {
      received: createRangeSet(RANGES_PER_EPOCH_MAX),
      storedThrough: 0,
      totals: undefined,
    }
    epochs.delete(epoch)
    epochs.set(epoch, marks)
    forgetFirst(epochs, EPOCHS_PER_AGENT_MAX)
    forgetFirst(agents, AGENTS_MAX)
    return marks
  }
  return {
    has: (agent, epoch, sequence) => find(agent, epoch)?.received.has(sequence) ?? false,
    add: (agent, epoch, sequence) => touch(agent, epoch).received.add(sequence),
    stored(agent, epoch, sequence, totals) {
      const marks = find(agent, epoch)
      if (!marks || sequence <= marks.storedThrough) return
      marks.storedThrough = sequence
      marks.totals = totals
      marks.received.addThrough(sequence)
    },
    lost: (agent, epoch, fromSequence, toSequence) => find(agent, epoch)?.received.remove(fromSequence, toSequence),
    watermark(agent, epoch) {
      const marks = find(agent, epoch)
      return marks && { agent, epoch, sequence: marks.storedThrough, ...(marks.totals && { totals: marks.totals }) }
    },
    latest(agent) {
      const last = [...(agents.get(agent) ?? [])].at(-1)
      return (
        last && { epoch: last[0], receivedThrough: last[1].received.lowestEnd, storedThrough: last[1].storedThrough }
      )
    },
    get streamMark() {
      return streamMark
    },
    set streamMark(mark) {
      streamMark = mark
    },
    async load() {
      try {
        const bytes = await readFileWhole(path, fileSystem)
        if (!bytes) return
        const saved = parse(bytes)
        if (saved.spoolEpoch !== spoolEpoch) throw new Error('it belongs to another spool')
        streamMark = saved.stream
        for (const [agent, epochs] of saved.agents)
          for (const [epoch, storedThrough, ranges, totals] of epochs) {
            touch(agent, epoch)
            agents.get(agent)?.set(epoch, {
              received: createRangeSet(RANGES_PER_EPOCH_MAX, ranges),
              storedThrough,
              totals: totals ?? undefined,
            })
          }
      } catch (error) {
        log.warn(
          { path, error: messageOf(error) },
          'the file of marks cannot be used and was ignored: batches that agents repeat may be stored again, and the processor drops them',
        )
      }
    },
    async save() {
      const body = JSON.stringify({
        spoolEpoch,
        stream: streamMark,
        agents: [...agents].map(([agent, epochs]) => [
          agent,
          [...epochs].map(([epoch, marks]) => [
            epoch,
            marks.storedThrough,
            marks.received.ranges,
            marks.totals ?? null,
          ]),
        ]),
      })
      await writeFileAtomic(path, Buffer.from(`${checksum(body)}\n${body}`), fileSystem)
    },
  }
}

const checksum = (body: string): string => crc32(body).toString(16).padStart(8, '0')

function parse(bytes: Uint8Array): z.infer<typeof fileSchema> {
  const text = Buffer.from(bytes).toString('utf8')
  const body = text.slice(9)
  if (text.slice(0, 9) !== `${checksum(body)}\n`) throw new Error('wrong checksum')
  return fileSchema.parse(JSON.parse(body))
}

function forgetFirst(map: Map<string, unknown>, sizeMax: number): void {
  if (map.size <= sizeMax) return
  const first = map.keys().next().value
  if (first !== undefined) map.delete(first)
}

/** Beside the spool's folder, not in it: a spool owns its folder. */
export const marksPath = (spoolFolder: string): string => `${spoolFolder.replace(/\/+$/, '')}.marks`
