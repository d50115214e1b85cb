/**
 * All devices of a scenario, the site's broker and the ledger. One tick does everything in one order: what fell due is measured,
 * written to the ledger, then sent.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type AdminServer,
  type Clock,
  createAdminServer,
  type HostPort,
  type Logger,
  type Metrics,
  type Service,
  UserError,
  writeFileAtomic,
} from '@tributary/runtime'
import { createDeviceModels, type DeviceModel, type Run } from './device-model.ts'
import { anomalyFlag, LEDGER_BYTES_MAX, type Ledger, openLedger, refusedFlag } from './ledger.ts'
import { createLineFaults, type LineFaults } from './line-fault.ts'
import type { Link, LinkStatus } from './link.ts'
import { createMqttLink } from './mqtt-link.ts'
import { readingsPerSecond, type Scenario } from './scenario.ts'
import { createSerialLink } from './serial-link.ts'
import { createSiteBroker, type SiteBroker } from './site-broker.ts'

export const TICK_MS = 20
const DRAIN_LOOK_MS = 50

export interface SimulatorOptions {
  readonly scenario: Scenario
  readonly dataDir: string
  /** Instead of the scenario's. */
  readonly seed?: number | undefined
  /** Readings a second of all devices together; all intervals are scaled. Undefined: as the scenario says. */
  readonly rate?: number | undefined
  /** Stop measuring after this long; the links stay up. */
  readonly durationMs?: number | undefined
  readonly mqtt: HostPort
  readonly admin: HostPort
}

export interface DeviceStatus extends LinkStatus {
  readonly kind: string
  readonly samples: number
  readonly readings: number
  readonly lastSequence: number
  readonly lostSamples: number
}

export interface SimulatorStatus {
  readonly measuring: boolean
  readonly scenario: string
  readonly seed: number
  readonly startedAtMs: number
  /** As asked for. */
  readonly readingsPerSecond: number
  readonly producedSamples: number
  readonly producedReadings: number
  /** Readings that the contract must refuse. */
  readonly refusedReadings: number
  /** Lost on the line or at the device; the ledger says which and why. */
  readonly lostSamples: number
  /** Kept by devices, and messages in the broker that their session has not acknowledged: 0 when everything has arrived. */
  readonly unacknowledgedSamples: number
  /** How late the last tick was. */
  readonly behindMs: number
  readonly broker: ReturnType<SiteBroker['status']>
  readonly devices: Readonly<Record<string, DeviceStatus>>
}

/** What `<data-dir>/simulator.json` says once everything listens. */
export interface SimulatorState {
  readonly mqttUrl: string
  readonly ports: Readonly<Record<string, string>>
  readonly adminUrl: string
  readonly ledgerFolder: string
  readonly seed: number
  readonly startedAtMs: number
}

export interface Simulator extends Service {
  status(): SimulatorStatus
  /** Devices measure no more; what they keep is still sent. */
  stopMeasuring(why: string): void
  /** Resolves when everything that was measured is acknowledged and delivered; rejects with the signal's reason. */
  drained(signal: AbortSignal): Promise<void>
  readonly state: SimulatorState
}

interface Device {
  readonly model: DeviceModel
  readonly link: Link
  readonly faults: LineFaults
  nextSequence: number
  samples: number
  readings: number
  refusedReadings: number
  lostSamples: number
  /** Occurrences that the ledger knows of. */
  readonly labelled: Set<string>
}

export function createSimulator(
  options: SimulatorOptions,
  { clock, log, metrics }: { clock: Clock; log: Logger; metrics: Metrics },
): Simulator {
  const { scenario, dataDir } = options
  const seed = options.seed ?? scenario.seed
  const ledgerFolder = join(dataDir, 'ledger')
  const portsFolder = join(dataDir, 'ports')
  const broker = createSiteBroker(options.mqtt, { log })
  const running = new AbortController()

  let devices: Device[] = []
  let ledger: Ledger | undefined
  let admin: AdminServer | undefined
  let loop: Promise<void> = Promise.resolve()
  let startedAtMs = 0
  let startedMonotonicMs = 0
  let measuring = false
  let ready = false
  let behindMs = 0
  const producedReadings = metrics.counter('simulator_readings_produced_total', 'Readings measured', ['device'])

  const total = (pick: (device: Device) => number) => devices.reduce((sum, device) => sum + pick(device), 0)
  const elapsedMs = () => clock.monotonicMs() - startedMonotonicMs
  const unacknowledged = () => total(({ link }) => link.status().unacknowledgedSamples) + broker.status().queuedMessages

  const measure = (device: Device, untilMs: number, book: Ledger) => {
    const { model } = device
    const fieldCount = model.deviceClass.fields.length
    const from = device.nextSequence
    let readings = 0
    for (; ; device.nextSequence++) {
      const sequence = device.nextSequence
      const atMs = model.elapsedMsOf(sequence)
      if (atMs > untilMs || (options.durationMs !== undefined && atMs >= options.durationMs)) break
      const anomalies = model.anomaliesAt(sequence)
      const bad = model.badValuesAt(sequence)
      const flags =
        anomalies.length + bad.length === 0
          ? ''
          : [...anomalies.map(({ config }) => anomalyFlag(config)), ...bad.map(refusedFlag)].join('|')
      book.sample(model.config.name, sequence, model.timeMsOf(sequence), flags)
      readings += fieldCount + bad.filter(({ kind }) => kind === 'unknown_field').length
      device.refusedReadings += bad.length
      for (const { config, occurrence } of anomalies) {
        const key = `${scenario.anomalies.indexOf(config)}/${occurrence.index}`
        if (device.labelled.has(key)) continue
        device.labelled.add(key)
        book.event({
          type: 'anomaly',
          atMs: clock.wallMs(),
          device: config.device,
          field: config.field,
          kind: config.kind,
          by: 'by' in config ? config.by : undefined,
          fromSequence: sequence,
          fromMs: startedAtMs + Math.round(occurrence.fromMs),
          untilMs: startedAtMs + Math.round(occurrence.untilMs),
        })
      }
    }
    const samples = device.nextSequence - from
    if (samples === 0) return
    device.samples += samples
    device.readings += readings
    producedReadings.inc({ device: model.config.name }, readings)
  }
  const labelFaults = (device: Device, nowMs: number, book: Ledger) => {
    for (const { key, kind, fromMs, untilMs } of device.faults.activeAt(nowMs)) {
      const label = `fault ${key}`
      if (device.labelled.has(label)) continue
      device.labelled.add(label)
      const times = { fromMs: startedAtMs + Math.round(fromMs), untilMs: startedAtMs + Math.round(untilMs) }
      book.event({ type: 'fault', atMs: clock.wallMs(), device: device.model.config.name, kind, ...times })
    }
  }
  const tick = (book: Ledger) => {
    const nowMs = elapsedMs()
    const firstNew = devices.map((device) => device.nextSequence)
    if (measuring) for (const device of devices) measure(device, nowMs, book)
    for (const device of devices) labelFaults(device, nowMs, book)
    // In the ledger before on the wire.
    book.flush()
    devices.forEach((device, i) => {
      for (let sequence = firstNew[i] as number; sequence < device.nextSequence; sequence++)
        device.link.measured(sequence)
      device.link.tick(nowMs)
    })
    book.flush()
    if (measuring && book.bytes > LEDGER_BYTES_MAX) stopMeasuring('the ledger is full')
    if (measuring && options.durationMs !== undefined && nowMs >= options.durationMs) stopMeasuring('the time is over')
  }
  const stopMeasuring = (why: string) => {
    if (!measuring) return
    measuring = false
    log.info({ why, samples: total((d) => d.samples) }, 'measuring stops; the links stay up')
    ledger?.event({ type: 'measuring_stopped', atMs: clock.wallMs(), why, samples: total((d) => d.samples) })
    ledger?.flush()
  }
  const run = async (book: Ledger) => {
    for (let count = 0; !running.signal.aborted; ) {
      tick(book)
      // The next multiple of the tick: late ticks are skipped, not made up for, and the rhythm does not drift.
      const nowMs = elapsedMs()
      behindMs = Math.max(0, nowMs - (count + 1) * TICK_MS)
      count = Math.max(count + 1, Math.floor(nowMs / TICK_MS))
      const delayMs = Math.max(1, (count + 1) * TICK_MS - nowMs)
      await clock.sleep(delayMs, running.signal).catch(() => undefined)
    }
  }

  const status = (): SimulatorStatus => ({
    measuring,
    scenario: scenario.name,
    seed,
    startedAtMs,
    readingsPerSecond: options.rate ?? readingsPerSecond(scenario),
    producedSamples: total((d) => d.samples),
    producedReadings: total((d) => d.readings),
    refusedReadings: total((d) => d.refusedReadings),
    lostSamples: total((d) => d.lostSamples),
    unacknowledgedSamples: unacknowledged(),
    behindMs: Math.round(behindMs),
    broker: broker.status(),
    devices: Object.fromEntries(
      devices.map(({ model, link, samples, readings, nextSequence, lostSamples }) => [
        model.config.name,
        {
          kind: model.deviceClass.kind,
          samples,
          readings,
          lastSequence: nextSequence - 1,
          lostSamples,
          ...link.status(),
        },
      ]),
    ),
  })

  const drained = async (signal: AbortSignal) => {
    while (unacknowledged() > 0 || broker.status().waitingPublishes > 0) await clock.sleep(DRAIN_LOOK_MS, signal)
  }

  return {
    name: 'simulator',
    status,
    stopMeasuring,
    drained,
    get state() {
      return {
        mqttUrl: broker.url,
        ports: Object.fromEntries(
          scenario.devices.filter((d) => d.serial).map((d) => [d.name, join(portsFolder, d.name)]),
        ),
        adminUrl: `http://${options.admin.host}:${admin?.port ?? options.admin.port}`,
        ledgerFolder,
        seed,
        startedAtMs,
      }
    },
    async start() {
      await mkdir(portsFolder, { recursive: true })
      const names = scenario.devices.map((d) => d.name)
      const book = openLedger(ledgerFolder, names, () => clock.wallMs())
      ledger = book
      await broker.start(running.signal)
      admin = createAdminServer(options.admin, {
        metrics,
        ready: () => ready || 'the devices are not connected yet',
        routes: { '/status': status },
      })
      await admin.start(running.signal)

      startedAtMs = clock.wallMs()
      startedMonotonicMs = clock.monotonicMs()
      const firstSequences = Object.fromEntries(names.map((name) => [name, (book.lastSequences.get(name) ?? 0) + 1]))
      const thisRun: Run = { seed, startedAtMs, rate: options.rate, scenario, firstSequences }
      devices = modelsOf(thisRun).map((model) => {
        const { config } = model
        const faults = createLineFaults(scenario.faults, config.name, seed)
        const dependencies = {
          model,
          faults,
          clock,
          log,
          lost: (sequence: number, loss: Parameters<Ledger['lost']>[2]) => {
            device.lostSamples++
            book.lost(config.name, sequence, loss)
          },
        }
        const link = config.serial
          ? createSerialLink(config.serial, { folder: portsFolder, seed }, dependencies)
          : createMqttLink(config.mqtt as NonNullable<typeof config.mqtt>, () => broker.url, dependencies)
        const none = { samples: 0, readings: 0, refusedReadings: 0, lostSamples: 0 }
        const device: Device = { model, link, faults, nextSequence: model.firstSequence, ...none, labelled: new Set() }
        return device
      })
      for (const { link } of devices) await link.start()
      book.event({ type: 'run', atMs: startedAtMs, run: thisRun })
      book.flush()
      await writeFileAtomic(join(dataDir, 'simulator.json'), Buffer.from(`${JSON.stringify(this.state, null, 2)}\n`))
      ready = true
      measuring = true
      log.info({ ...this.state, readingsPerSecond: status().readingsPerSecond }, 'devices measure')
      loop = run(book).catch((error) => {
        measuring = false
        ready = false
        log.fatal({ err: error }, 'the simulator cannot go on')
        process.exitCode = 1
      })
    },
    async stop(signal) {
      stopMeasuring('stopped')
      if (ready)
        await drained(signal).catch(() =>
          log.warn({ unacknowledgedSamples: unacknowledged() }, 'not everything was acknowledged in time'),
        )
      running.abort(new DOMException('stopped', 'AbortError'))
      await loop
      ready = false
      for (const { model, link } of devices) {
        for (const { sequence, sent } of link.remaining())
          ledger?.lost(model.config.name, sequence, { reason: 'lost_at_device', cause: 'stopped', sent })
        await link.stop()
      }
      ledger?.event({ type: 'stopped', atMs: clock.wallMs(), unacknowledgedSamples: unacknowledged() })
      ledger?.flush()
      ledger?.close()
      ledger = undefined
      await broker.stop(signal)
      await admin?.stop(signal)
    },
  }
}

function modelsOf(run: Run): DeviceModel[] {
  try {
    return createDeviceModels(run)
  } catch (error) {
    if (error instanceof RangeError)
      throw new UserError(error.message, { cause: error, hint: 'lower --rate, or add devices to the scenario' })
    throw error
  }
}
