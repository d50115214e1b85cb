// Guarantee: when `admit` resolves, the batch is on this gateway's disk, from this call or an earlier one. When it rejects,
// nothing was promised and the sender keeps it.
import { type BatchHeader, DecodeError, decodeHeader } from '@tributary/protocol'
import type { Clock, Logger, Metrics, Stage } from '@tributary/runtime'
import { messageOf } from '@tributary/runtime'
import { type Spool, SpoolFullError } from '@tributary/spool'
import type { Marks } from './marks.ts'
import { encodeRecord } from './record.ts'
import { Refusal } from './refusals.ts'
import type { StoredIndex } from './stored.ts'
import type { Waiting } from './waiting.ts'

export type Admitted = 'stored' | 'repeated' | 'unreadable'

export interface AgentAccount {
  epoch: string
  batches: number
  readings: number
  repeated: number
  unreadable: number
  bytes: number
  lastSeenMs: number
}

export interface Admission {
  /**
   * Appends are made in call order. @param agent as authenticated
   * @throws Refusal `foreign_agent`, `newer_format`, `too_many_epochs`, `spool_full`, `spool_failed`
   */
  admit(agent: string, batch: Uint8Array): Promise<Admitted>
  readonly accounts: ReadonlyMap<string, Readonly<AgentAccount>>
  /** Why the spool took nothing the last time; undefined when it did. */
  readonly failing: string | undefined
  /** Resolves when nothing is on its way to the disk. */
  idle(): Promise<void>
}

/** The largest sequence that a spool record can name. */
const SEQUENCE_MAX = 2 ** 48 - 1
/** A batch that is not on disk by then ends its connection, a little before the agent gives up by itself; the spool goes on trying, and the repeat finds it there. */
const PATIENCE_MS = 8_000
const EPOCH = /^[0-9a-f]{16}$/

export function createAdmission(options: {
  spool: Spool
  marks: Marks
  index: StoredIndex
  waiting: Waiting
  /** From receipt to JetStream, in the live lane. */
  stage: Pick<Stage, 'began'>
  /** A batch of the epoch is on disk. */
  onReceived: (agent: string, epoch: string) => void
  /** Resolves when a batch of a backlog, which is on disk, may be acknowledged. */
  holdBack: (bytes: number) => Promise<void>
  clock: Clock
  log: Logger
  metrics: Metrics
  patienceMs?: number
}): Admission {
  const {
    spool,
    marks,
    index,
    waiting,
    stage,
    onReceived,
    holdBack,
    clock,
    log,
    metrics,
    patienceMs = PATIENCE_MS,
  } = options
  const batchesTotal = metrics.counter('gateway_batches_total', 'Batches acknowledged', ['result'])
  const readingsTotal = metrics.counter(
    'gateway_readings_total',
    'Readings in batches that were stored for the first time',
  )
  const bytesTotal = metrics.counter('gateway_received_bytes_total', 'Bytes of batches that came from agents')
  const appendSeconds = metrics.histogram(
    'gateway_append_seconds',
    'From receipt of a batch to its fsync',
    [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
  )
  const inFlight = metrics.gauge('gateway_batches_in_flight', 'Batches that were received and are not on disk yet')
  const accounts = new Map<string, AgentAccount>()
  /** `agent/epoch/sequence` of appends on their way: a repeat waits for the first. Bounded by what clients may have in flight. */
  const pending = new Map<string, Promise<unknown>>()
  const underway = new Set<Promise<unknown>>()
  let failing: string | undefined

  const accountOf = (agent: string): AgentAccount => {
    const account = accounts.get(agent) ?? {
      epoch: '',
      batches: 0,
      readings: 0,
      repeated: 0,
      unreadable: 0,
      bytes: 0,
      lastSeenMs: 0,
    }
    accounts.set(agent, account)
    return account
  }

  const append = async (agent: string, header: BatchHeader | undefined, batch: Uint8Array): Promise<void> => {
    const startedMs = clock.monotonicMs()
    const identity = header && {
      epoch: header.epoch,
      sequence: header.sequence,
      readingCount: header.readingCount,
    }
    const record = encodeRecord({ agent, receivedAtMs: clock.wallMs(), identity, batch })
    let spoolSequence: number
    try {
      spoolSequence = await spool.append(record)
    } catch (error) {
      const full = error instanceof SpoolFullError
      if (failing === undefined)
        log.error(
          {
            err: error,
            hint: full ? 'raise spool.budget, free disk space, or bring NATS and the processor back' : 'check the disk',
          },
          'the spool takes nothing: batches are not acknowledged, agents keep them',
        )
      failing = messageOf(error)
      throw new Refusal(full ? 'spool_full' : 'spool_failed', `not acknowledged: ${failing}`, { cause: error })
    }
    if (failing !== undefined) log.info('the spool takes batches again')
    failing = undefined
    appendSeconds.observe((clock.monotonicMs() - startedMs) / 1_000)
    index.add(spoolSequence, header && { agent, epoch: header.epoch, sequence: header.sequence })
    waiting.add(agent, record.length)
    if (!header) return
    if (header.lane === 'live') stage.began(spoolSequence, startedMs)
    marks.add(agent, header.epoch, header.sequence)
    onReceived(agent, header.epoch)
  }
  const track = <T>(work: Promise<T>): Promise<T> => {
    underway.add(work)
    inFlight.set(underway.size)
    const done = () => {
      underway.delete(work)
      inFlight.set(underway.size)
    }
    work.then(done, done)
    return work
  }

  /** A disk that fails holds appends up for as long as it fails; whoever waits for them is told. */
  const patiently = (work: Promise<unknown>): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = clock.after(patienceMs, () =>
        reject(
          new Refusal('spool_failed', `not on disk after ${patienceMs} ms${spool.failing ? `: ${spool.failing}` : ''}`),
        ),
      )
      work.then(() => resolve(), reject).finally(cancel)
    })
  const refuseWhileFailing = () => {
    if (spool.failing !== undefined) throw new Refusal('spool_failed', `not acknowledged: ${spool.failing}`)
  }

  return {
    accounts,
    get failing() {
      return spool.failing ?? failing
    },
    idle: async () => void (await Promise.allSettled([...underway])),
    async admit(agent, batch) {
      const account = accountOf(agent)
      account.lastSeenMs = clock.wallMs()
      account.bytes += batch.length
      bytesTotal.inc(batch.length)
      const header = readHeader(agent, batch, log)
      if (!header) {
        refuseWhileFailing()
        await patiently(track(append(agent, undefined, batch)))
        account.unreadable += 1
        batchesTotal.inc({ result: 'unreadable' })
        return 'unreadable'
      }
      if (header.agent !== agent)
        throw new Refusal(
          'foreign_agent',
          `${agent} sent a batch of ${header.agent}: two machines with one identity, or a copied spool; the batch stays with the sender`,
        )
      const { epoch, sequence } = header
      const key = `${agent}/${epoch}/${sequence}`
      const repeated = pending.get(key) ?? (marks.has(agent, epoch, sequence) ? Promise.resolve() : undefined)
      if (repeated) {
        await patiently(repeated)
        account.repeated += 1
        batchesTotal.inc({ result: 'repeated' })
        return 'repeated'
      }
      if (!index.hasRoomFor(agent, epoch))
        throw new Refusal(
          'too_many_epochs',
          `${agent} began too many epochs while nothing was stored: its spool does not survive its restarts, or the processor does not run`,
        )
      refuseWhileFailing()
      const work = track(append(agent, header, batch).finally(() => pending.delete(key)))
      pending.set(key, work)
      await patiently(work)
      account.epoch = epoch
      account.batches += 1
      account.readings += header.readingCount
      batchesTotal.inc({ result: 'stored' })
      readingsTotal.inc(header.readingCount)
      if (header.lane === 'backlog') await holdBack(batch.length)
      return 'stored'
    },
  }
}

/** @returns undefined when the batch is to be kept as it is, for a dead letter */
function readHeader(agent: string, batch: Uint8Array, log: Logger): BatchHeader | undefined {
  try {
    const header = decodeHeader(batch)
    const { epoch, sequence } = header
    if (EPOCH.test(epoch) && Number.isInteger(sequence) && sequence >= 1 && sequence <= SEQUENCE_MAX) return header
    throw new DecodeError('malformed', `the identity ${epoch}/${sequence} is impossible`)
  } catch (error) {
    if (error instanceof DecodeError && error.reason === 'unknown_version')
      throw new Refusal('newer_format', `${agent} sends a newer format: upgrade this gateway (${error.message})`)
    log.warn(
      {
        agent,
        bytes: batch.length,
        reason: error instanceof DecodeError ? error.reason : 'malformed',
        error: messageOf(error),
      },
      'a batch that cannot be read is kept and passed on as it is; the processor makes a dead letter of it',
    )
    return undefined
  }
}
