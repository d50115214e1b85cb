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
import { LEDGER_BYTES_MAX, type Ledger, openLedger } from './ledger.ts'
import { type BroughtFault, bringFault } from './live-fault.ts'
import { createMeasuringDevice, type MeasuringDevice } from './measuring-device.ts'
import { readingsPerSecond, type Scenario } from './scenario.ts'
import { deviceStatus, type SimulatorState, type SimulatorStatus } from './simulator-status.ts'
import { createSiteBroker } from './site-broker.ts'

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

export interface Simulator extends Service {
  status(): SimulatorStatus
  /** Brings a fault about now; see `live-fault.ts`. @throws UserError when it does not fit */
  fault(request: unknown): BroughtFault
  /** Devices measure no more; what they keep is still sent. */
  stopMeasuring(why: string): void
  /** Resolves when everything that was measured is acknowledged and delivered; rejects with the signal's reason. */
  drained(signal: AbortSignal): Promise<void>
  readonly state: SimulatorState
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

  let devices: MeasuringDevice[] = []
  let ledger: Ledger | undefined
  let admin: AdminServer | undefined
  let loop: Promise<void> = Promise.resolve()
  let startedAtMs = 0
  let startedMonotonicMs = 0
  let measuring = false
  let ready = false
  let behindMs = 0
  let failure: unknown
  const producedReadings = metrics.counter('simulator_readings_produced_total', 'Readings measured', ['device'])

  const total = (pick: (device: MeasuringDevice) => number) => devices.reduce((sum, device) => sum + pick(device), 0)
  const elapsedMs = () => clock.monotonicMs() - startedMonotonicMs
  const unacknowledged = () => total(({ link }) => link.status().unacknowledgedSamples) + broker.status().queuedMessages

  const tick = (book: Ledger) => {
    const nowMs = elapsedMs()
    // 1. What fell due is measured. 2. It is in the ledger. 3. It is sent, and the ledger is told what befell it.
    if (measuring)
      for (const device of devices) {
        const readings = device.measure(nowMs)
        if (readings > 0) producedReadings.inc({ device: device.model.config.name }, readings)
      }
    book.flush()
    for (const device of devices) device.send(nowMs)
    book.flush()
    if (measuring && book.bytes > LEDGER_BYTES_MAX) stopMeasuring('the ledger is full')
    if (measuring && options.durationMs !== undefined && nowMs >= options.durationMs) stopMeasuring('the time is over')
  }
  const stopMeasuring = (why: string) => {
    if (!measuring) return
    measuring = false
    log.info({ why, samples: total((d) => d.counts.samples) }, 'measuring stops; the links stay up')
    ledger?.event({ type: 'measuring_stopped', atMs: clock.wallMs(), why, samples: total((d) => d.counts.samples) })
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
    producedSamples: total((d) => d.counts.samples),
    producedReadings: total((d) => d.counts.readings),
    refusedReadings: total((d) => d.counts.refusedReadings),
    lostSamples: total((d) => d.counts.lostSamples),
    unacknowledgedSamples: unacknowledged(),
    behindMs: Math.round(behindMs),
    broker: broker.status(),
    devices: Object.fromEntries(devices.map((device) => [device.model.config.name, deviceStatus(device)])),
  })

  const fault = (request: unknown): BroughtFault => {
    const brought = bringFault(request, devices, elapsedMs(), startedAtMs)
    log.info({ ...brought }, 'a fault was asked for')
    return brought
  }
  const drained = async (signal: AbortSignal) => {
    while (unacknowledged() > 0 || broker.status().waitingPublishes > 0) await clock.sleep(DRAIN_LOOK_MS, signal)
  }

  const state = (): SimulatorState => ({
    mqttUrl: broker.url,
    ports: Object.fromEntries(scenario.devices.filter((d) => d.serial).map((d) => [d.name, join(portsFolder, d.name)])),
    adminUrl: `http://${options.admin.host}:${admin?.port ?? options.admin.port}`,
    ledgerFolder,
    seed,
    startedAtMs,
  })
  const begin = async () => {
    await mkdir(portsFolder, { recursive: true })
    const names = scenario.devices.map((d) => d.name)
    const book = openLedger(ledgerFolder, names, () => clock.wallMs())
    ledger = book
    await broker.start(running.signal)
    admin = createAdminServer(options.admin, {
      metrics,
      ready: () => ready || 'the devices are not connected yet',
      routes: { '/status': status },
      actions: { '/fault': fault },
    })
    await admin.start(running.signal)

    startedAtMs = clock.wallMs()
    startedMonotonicMs = clock.monotonicMs()
    const firstSequences = Object.fromEntries(names.map((name) => [name, (book.lastSequences.get(name) ?? 0) + 1]))
    const thisRun: Run = { seed, startedAtMs, rate: options.rate, scenario, firstSequences }
    devices = modelsOf(thisRun).map((model) =>
      createMeasuringDevice(
        model,
        thisRun,
        { portsFolder, brokerUrl: () => broker.url, durationMs: options.durationMs },
        { clock, log, ledger: book },
      ),
    )
    for (const { link } of devices) await link.start()
    book.event({ type: 'run', atMs: startedAtMs, run: thisRun })
    book.flush()
    await writeFileAtomic(join(dataDir, 'simulator.json'), Buffer.from(`${JSON.stringify(state(), null, 2)}\n`))
    ready = true
    measuring = true
    log.info({ ...state(), readingsPerSecond: status().readingsPerSecond }, 'devices measure')
    loop = run(book).catch((error) => {
      failure = error
      measuring = false
      ready = false
      log.fatal({ err: error }, 'the simulator cannot go on; stop it, and see why')
    })
  }
  const end = async (signal: AbortSignal) => {
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
    if (failure !== undefined) throw failure
  }

  return {
    name: 'simulator',
    status,
    fault,
    stopMeasuring,
    drained,
    get state() {
      return state()
    },
    async start() {
      try {
        await begin()
      } catch (error) {
        await end(AbortSignal.abort()).catch((also) => log.warn({ err: also }, 'while undoing a start that failed'))
        throw error
      }
    },
    stop: end,
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
