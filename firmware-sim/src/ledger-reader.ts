/** Reads a ledger, also while it is being written: the truth that every test compares with. */
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { errorCode, UserError } from '@tributary/runtime'
import { DEVICE_CLASSES, type FieldValue } from './device-class.ts'
import { createDeviceModels, type DeviceModel, type Run } from './device-model.ts'
import { EVENTS_FILE, type LedgerEvent, type Loss } from './ledger.ts'
import { kindOf } from './scenario.ts'

export interface LedgerSample {
  readonly device: string
  readonly kind: string
  readonly sequence: number
  readonly timeMs: number
  /** Fields that were sent, those to be refused included. */
  readonly readings: number
  readonly anomalies: readonly { readonly kind: string; readonly field: string }[]
  /** What the contract must refuse, and why. */
  readonly refused: readonly { readonly field: string; readonly reason: string }[]
  readonly lost: Loss | undefined
}

export interface LedgerCount {
  samples: number
  readings: number
  refusedReadings: number
  /** Certainly never reached the agent. */
  lostSamples: number
  lostReadings: number
  /** Dropped by the device after they were sent, without acknowledgement: may be stored, need not be. */
  doubtfulSamples: number
  doubtfulReadings: number
}

/** Events in the order in which they were written. An unfinished last line is left out. */
export async function readLedgerEvents(folder: string): Promise<LedgerEvent[]> {
  const text = await readFile(join(folder, EVENTS_FILE), 'utf8').catch((error) => {
    if (errorCode(error) !== 'ENOENT') throw error
    throw new UserError(`there is no ledger in ${folder}`, { cause: error, hint: 'run `tributary simulate` first' })
  })
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as LedgerEvent)
}

const runsOf = (events: readonly LedgerEvent[]): Run[] => events.flatMap((e) => (e.type === 'run' ? [e.run] : []))

/** The devices that any run of the ledger had. */
const devicesOf = (runs: readonly Run[]) => new Map(runs.flatMap((r) => r.scenario.devices.map((d) => [d.name, d])))

/** Streams all samples, device by device, each in the order of its sequence. */
export async function* readLedger(folder: string, options: { device?: string } = {}): AsyncGenerator<LedgerSample> {
  const known = devicesOf(runsOf(await readLedgerEvents(folder)))
  const names = [...known.keys()].filter((name) => options.device === undefined || options.device === name)
  // Sizes first, then events: a row is only read when what befell it was known, as far as it had befallen it.
  const sizes = new Map<string, number>()
  for (const name of names) sizes.set(name, (await stat(join(folder, `${name}.csv`))).size)
  const losses = (await readLedgerEvents(folder)).filter((e) => e.type === 'lost')

  for (const name of names) {
    const config = known.get(name)
    const size = sizes.get(name) ?? 0
    if (!config || size === 0) continue
    const kind = kindOf(config)
    const fields: readonly string[] = DEVICE_CLASSES[config.class].fields.map((f) => f.name)
    const own = losses.filter((l) => l.device === name).sort((a, b) => a.fromSequence - b.fromSequence)
    let lossAt = 0
    const lines = createInterface({ input: createReadStream(join(folder, `${name}.csv`), { end: size - 1 }) })
    for await (const line of lines) {
      const [sequenceText, timeText, flagText] = line.split(',')
      const sequence = Number(sequenceText)
      if (!Number.isSafeInteger(sequence) || timeText === undefined || flagText === undefined) continue
      const flags = flagText === '' ? [] : flagText.split('|').map((flag) => flag.split(':'))
      const refused = flags.flatMap(([word, field = '', reason = '']) =>
        word === 'refused' ? [{ field, reason }] : [],
      )
      const anomalies = flags.flatMap(([kind = '', field = '']) => (kind === 'refused' ? [] : [{ kind, field }]))
      while (lossAt < own.length && (own[lossAt]?.toSequence ?? 0) < sequence) lossAt++
      const loss = own[lossAt]
      const lost = loss && loss.fromSequence <= sequence ? loss : undefined
      const readings = fields.length + refused.filter(({ field }) => !fields.includes(field)).length
      const sample = { device: name, kind, sequence, timeMs: Number(timeText), readings, anomalies, refused }
      yield { ...sample, lost: lost && { reason: lost.reason, cause: lost.cause, sent: lost.sent } }
    }
  }
}

/** What was produced, per device. Reads the whole ledger. */
export async function summariseLedger(folder: string): Promise<Map<string, LedgerCount>> {
  const counts = new Map<string, LedgerCount>()
  for await (const sample of readLedger(folder)) {
    const count = counts.get(sample.device) ?? emptyCount()
    counts.set(sample.device, count)
    count.samples++
    count.readings += sample.readings
    if (!sample.lost) count.refusedReadings += sample.refused.length
    else if (sample.lost.sent && sample.lost.reason === 'lost_at_device') {
      count.doubtfulSamples++
      count.doubtfulReadings += sample.readings
    } else {
      count.lostSamples++
      count.lostReadings += sample.readings
    }
  }
  return counts
}

export const emptyCount = (): LedgerCount => ({
  samples: 0,
  readings: 0,
  refusedReadings: 0,
  lostSamples: 0,
  lostReadings: 0,
  doubtfulSamples: 0,
  doubtfulReadings: 0,
})

export interface Oracle {
  readonly runs: readonly Run[]
  /** The value as it was sent, bad values and anomalies included; undefined when the device has no such field. */
  expectedValue(device: string, field: string, sequence: number): FieldValue | undefined
  /** Event time of a sequence; undefined for a device that it does not know. */
  expectedTimeMs(device: string, sequence: number): number | undefined
}

/** Computes any value again from what the ledger says about its runs. */
export async function openOracle(folder: string): Promise<Oracle> {
  return createOracle(runsOf(await readLedgerEvents(folder)))
}

export function createOracle(runs: readonly Run[]): Oracle {
  const models = new Map<string, DeviceModel[]>()
  for (const run of runs)
    for (const model of createDeviceModels(run))
      models.set(model.config.name, [model, ...(models.get(model.config.name) ?? [])])
  const modelOf = (device: string, sequence: number) =>
    models.get(device)?.find((model) => model.firstSequence <= sequence)
  let last: { key: string; values: Map<string, FieldValue> } | undefined
  return {
    runs,
    expectedValue(device, field, sequence) {
      const key = `${device} ${sequence}`
      if (last?.key !== key) {
        const sample = modelOf(device, sequence)?.sample(sequence)
        last = { key, values: new Map(sample?.fields.map((name, i) => [name, sample.values[i] as FieldValue])) }
      }
      return last.values.get(field)
    },
    expectedTimeMs: (device, sequence) => modelOf(device, sequence)?.timeMsOf(sequence),
  }
}
