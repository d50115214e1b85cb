/**
 * The gateway's own account of itself: samples of the kind `gateway_health`, in batches that go the way of all others.
 * Each start of the process is an epoch of its own.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { BATCH_FORMAT_VERSION, encodeBatch, type FieldColumn } from '@tributary/protocol'
import { type Clock, every, type Logger, messageOf, type Service } from '@tributary/runtime'
import type { Admission } from './admission.ts'

/** Field → value; a field that is undefined is left out. */
export type HealthSample = Readonly<Record<string, number | boolean | string | undefined>>

export function createHealth(
  gateway: string,
  intervalMs: number,
  admission: Admission,
  sample: (epoch: string) => HealthSample | Promise<HealthSample>,
  isClockTrusted: () => boolean,
  { clock, log }: { clock: Clock; log: Logger },
): Service {
  const epoch = randomBytes(8).toString('hex')
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let sequence = 0
  let readingsTotal = 0
  let failing = false
  let bootId = ''

  const report = async () => {
    const fields = Object.entries(await sample(epoch)).flatMap(([field, value]) =>
      value === undefined ? [] : [columnOf(field, value)],
    )
    const nowMs = clock.wallMs()
    const batch = encodeBatch({
      header: {
        formatVersion: BATCH_FORMAT_VERSION,
        agent: gateway,
        epoch,
        sequence: sequence + 1,
        lane: 'live',
        createdAtMs: nowMs,
        completeThroughMs: nowMs,
        bootId,
        clockQuality: isClockTrusted() ? 'trusted' : 'untrusted',
        sampleCount: 1,
        readingCount: fields.length,
        readingsTotal: readingsTotal + fields.length,
        backlogBatches: 0,
        backlogBytes: 0,
        drainSeconds: 0,
        monotonicMs: 0,
      },
      blocks: [{ device: gateway, kind: 'gateway_health', timesMs: Float64Array.of(nowMs), columns: fields }],
      deadLetters: [],
      tombstones: [],
      rollups: [],
    })
    await admission.admit(gateway, batch)
    // Only now: a sample that was not kept leaves no hole in the sequence.
    sequence += 1
    readingsTotal += fields.length
  }
  const reportOrSay = async () => {
    try {
      await report()
      failing = false
    } catch (error) {
      if (!failing) log.warn({ error: messageOf(error) }, "the gateway's own health cannot be kept at present")
      failing = true
    }
  }
  return {
    name: 'health',
    async start() {
      bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')).trim()
      running = every(intervalMs, reportOrSay, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

function columnOf(field: string, value: number | boolean | string): FieldColumn {
  if (typeof value === 'number') return { field, present: null, type: 'number', values: Float64Array.of(value) }
  if (typeof value === 'boolean') return { field, present: null, type: 'boolean', values: Uint8Array.of(value ? 1 : 0) }
  return { field, present: null, type: 'string', values: [value] }
}
