// Guarantee: when `admit` resolves, the samples are on this gateway's disk, as a batch of an agent of their own, like any other's. When it
// rejects, nothing was promised; what may have been kept all the same has an epoch of its own, so no sequence names two batches.
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import {
  BATCH_FORMAT_VERSION,
  countReadings,
  type DerivedSample,
  type DeviceBlock,
  encodeBatch,
  type FieldColumn,
} from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'
import type { Admission } from './admission.ts'

export const DERIVED_READINGS_PER_SECOND = 500
export const DERIVED_READINGS_BURST = 5_000
/** What a request costs at least: each is a batch, and an fsync. */
const REQUEST_READINGS_MIN = 50
const WAITING_MAX = 8
/** A derived sample has the time of what it was made of, and comes so much later at most; beyond that it is late. */
const DELAY_MS_MAX = 10_000

/** Nothing was taken. `busy`: too many are waiting; `too_fast`: beyond the rate; `unfit`: no batch can hold it. */
export class NotTaken extends Error {
  override readonly name = 'NotTaken'
  readonly reason: 'busy' | 'too_fast' | 'unfit'
  constructor(reason: NotTaken['reason'], detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.reason = reason
  }
}

export interface Derived {
  /** Before a request is read: after one that was too large for the rate nothing is taken until that one could have been. @throws NotTaken */
  checkPace(): void
  /** @throws NotTaken, or what admission refused it for */
  admit(samples: readonly DerivedSample[]): Promise<void>
}

export function createDerived(
  agent: string,
  admission: Pick<Admission, 'admit'>,
  isClockTrusted: () => boolean,
  { clock }: { clock: Clock },
): Derived {
  const state = { epoch: newEpoch(), sequence: 0, readingsTotal: 0 }
  let waiting = 0
  let last: Promise<unknown> = Promise.resolve()
  let allowance = { readings: DERIVED_READINGS_BURST, atMs: clock.monotonicMs() }
  let nothingBeforeMs = 0
  let bootId: string | undefined

  const pay = (readings: number) => {
    const atMs = clock.monotonicMs()
    const earned = ((atMs - allowance.atMs) / 1_000) * DERIVED_READINGS_PER_SECOND
    const available = Math.min(DERIVED_READINGS_BURST, allowance.readings + earned)
    if (readings > available) {
      nothingBeforeMs = atMs + ((readings - available) / DERIVED_READINGS_PER_SECOND) * 1_000
      throw tooFast()
    }
    allowance = { readings: available - readings, atMs }
  }
  const admit = async (blocks: readonly DeviceBlock[], readings: number) => {
    bootId ??= (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')).trim()
    const nowMs = clock.wallMs()
    const header = {
      formatVersion: BATCH_FORMAT_VERSION,
      agent,
      epoch: state.epoch,
      sequence: state.sequence + 1,
      lane: 'live' as const,
      createdAtMs: nowMs,
      completeThroughMs: Math.max(0, nowMs - DELAY_MS_MAX),
      bootId,
      clockQuality: isClockTrusted() ? ('trusted' as const) : ('untrusted' as const),
      sampleCount: blocks.reduce((sum, { timesMs }) => sum + timesMs.length, 0),
      readingCount: readings,
      readingsTotal: state.readingsTotal + readings,
      backlogBatches: 0,
      backlogBytes: 0,
      drainSeconds: 0,
      monotonicMs: 0,
    }
    try {
      await admission.admit(agent, encodeBatch({ header, blocks, deadLetters: [], tombstones: [], rollups: [] }))
    } catch (error) {
      if (error instanceof RangeError) throw new NotTaken('unfit', error.message, { cause: error })
      Object.assign(state, { epoch: newEpoch(), sequence: 0, readingsTotal: 0 })
      throw error
    }
    state.sequence += 1
    state.readingsTotal += readings
  }
  return {
    checkPace() {
      if (clock.monotonicMs() < nothingBeforeMs) throw tooFast()
    },
    async admit(samples) {
      if (waiting >= WAITING_MAX) throw new NotTaken('busy', `${WAITING_MAX} requests wait already`)
      const blocks = blocksOf(samples)
      const readings = countReadings(blocks)
      pay(Math.max(REQUEST_READINGS_MIN, readings))
      waiting += 1
      const work = last.then(() => admit(blocks, readings))
      last = work.catch(() => undefined)
      await work.finally(() => {
        waiting -= 1
      })
    },
  }
}

const tooFast = () =>
  new NotTaken('too_fast', `at most ${DERIVED_READINGS_PER_SECOND} derived readings a second are taken`)
const newEpoch = () => randomBytes(8).toString('hex')

/** A block for each device and kind, its samples in the order of their times. */
function blocksOf(samples: readonly DerivedSample[]): DeviceBlock[] {
  const groups = new Map<string, DerivedSample[]>()
  for (const sample of samples) {
    const key = `${sample.kind}/${sample.device}`
    const group = groups.get(key)
    if (group) group.push(sample)
    else groups.set(key, [sample])
  }
  return [...groups.values()].map((group) => {
    const inOrder = group.toSorted((a, b) => a.timeMs - b.timeMs)
    const { device, kind } = inOrder[0] as DerivedSample
    return { device, kind, timesMs: Float64Array.from(inOrder, ({ timeMs }) => timeMs), columns: columnsOf(inOrder) }
  })
}

/** A field that has several types has several columns: which of them is right, the contract says. */
function columnsOf(samples: readonly DerivedSample[]): FieldColumn[] {
  const columns = new Map<string, { present: Uint8Array; column: FieldColumn }>()
  for (const [i, { fields }] of samples.entries())
    for (const [field, value] of Object.entries(fields)) {
      const type = typeof value as FieldColumn['type']
      const key = `${type}/${field}`
      const known = columns.get(key) ?? newColumn(field, type, samples.length)
      columns.set(key, known)
      known.present[i] = 1
      ;(known.column.values as { [index: number]: unknown })[i] = type === 'boolean' ? Number(value) : value
    }
  return [...columns.values()].map(({ present, column }) => ({
    ...column,
    present: present.includes(0) ? present : null,
  }))
}

function newColumn(field: string, type: FieldColumn['type'], length: number) {
  const present = new Uint8Array(length)
  if (type === 'number') return { present, column: { field, type, present, values: new Float64Array(length) } }
  if (type === 'boolean') return { present, column: { field, type, present, values: new Uint8Array(length) } }
  return { present, column: { field, type, present, values: new Array<string>(length).fill('') } }
}
