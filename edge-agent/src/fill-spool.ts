/** A spool as an agent would have filled it in an outage, made at the speed of the disk: the agent's own batches, for tests and benchmarks. */
import { BATCH_FORMAT_VERSION, encodeBatch } from '@tributary/protocol'
import { type Clock, createLogger, createMetrics } from '@tributary/runtime'
import { openSpool, type SpoolOptions } from '@tributary/spool'
import { createBatcher } from './batcher.ts'
import type { Sample } from './sample.ts'

export type { Sample } from './sample.ts'

export interface FilledSpool {
  readonly epoch: string
  readonly batches: number
  readonly readings: number
  /** Of the batches, as they travel. */
  readonly payloadBytes: number
  /** Of the segments. */
  readonly bytesUsed: number
  /** Readings of the epoch up to and including each batch, in their order. */
  readonly readingsThrough: readonly number[]
}

export interface FillOptions {
  readonly agent: string
  readonly bootId: string
  /** A batch is closed when it has so many. */
  readonly readingsPerBatch: number
  readonly spool: Omit<SpoolOptions, 'durabilityMs' | 'freeBytesMin'>
}

/** So many batches share an fsync. */
const GROUP_BATCHES = 256

/** @param samples in the order of their times, which the devices know themselves */
export async function fillSpool(
  folder: string,
  samples: Iterable<Sample>,
  options: FillOptions,
  clock: Clock,
): Promise<FilledSpool> {
  const log = createLogger(options.agent, 'error')
  const spool = await openSpool(
    folder,
    { ...options.spool, durabilityMs: 5, freeBytesMin: 0 },
    { clock, log, metrics: createMetrics(options.agent) },
  )
  const readingsThrough: number[] = []
  let readings = 0
  let payloadBytes = 0
  let batcher = createBatcher()
  let newestMs = 0
  let appending: Promise<number>[] = []
  const close = () => {
    const { blocks, deadLetters, sampleCount, readingCount } = batcher.finish()
    batcher = createBatcher()
    readings += readingCount
    readingsThrough.push(readings)
    const payload = encodeBatch({
      header: {
        formatVersion: BATCH_FORMAT_VERSION,
        agent: options.agent,
        epoch: spool.epoch,
        sequence: spool.nextSequence,
        lane: 'live',
        createdAtMs: newestMs,
        completeThroughMs: newestMs,
        bootId: options.bootId,
        clockQuality: 'trusted',
        sampleCount,
        readingCount,
        readingsTotal: readings,
        backlogBatches: 0,
        backlogBytes: 0,
        drainSeconds: 0,
        monotonicMs: newestMs,
      },
      blocks,
      deadLetters,
      tombstones: [],
      rollups: [],
    })
    payloadBytes += payload.length
    appending.push(spool.append(payload, { total: readings }))
  }
  for (const sample of samples) {
    newestMs = sample.measuredAtMs as number
    if (!batcher.add(sample, newestMs)) {
      close()
      batcher.add(sample, newestMs)
    }
    if (batcher.readingCount >= options.readingsPerBatch) close()
    if (appending.length >= GROUP_BATCHES) {
      await Promise.all(appending)
      appending = []
    }
  }
  if (!batcher.isEmpty) close()
  await Promise.all(appending)
  const { epoch, bytesUsed, nextSequence } = spool
  await spool.close()
  return { epoch, batches: nextSequence - 1, readings, payloadBytes, bytesUsed, readingsThrough }
}
