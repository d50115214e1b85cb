/** The computer itself as a device: what it is, is told where there is such a thing, and left out elsewhere. */
import { readdir, readFile, statfs } from 'node:fs/promises'
import { cpus, freemem, loadavg, totalmem, uptime } from 'node:os'
import { type Clock, every, type Logger, messageOf } from '@tributary/runtime'
import type { HostInputConfig } from '../config.ts'
import { emptyDelivery, type FieldValue, readSample } from '../sample.ts'
import type { Input, InputStatus, Intake } from './input.ts'

export interface HostInputDependencies {
  readonly agent: string
  readonly intake: Intake
  readonly clock: Clock
  readonly log: Logger
}

export function createHostInput(config: HostInputConfig, dependencies: HostInputDependencies): Input {
  const { intake, clock } = dependencies
  const log = dependencies.log.child({ input: config.name })
  const stopping = new AbortController()
  let running: Promise<void> | undefined
  let state: InputStatus['state'] = 'starting'
  let detail = `every ${config.interval} ms`

  return {
    name: config.name,
    async start() {
      const measure = createHostMeter(config.disk)
      state = 'open'
      const take = async () => {
        try {
          const measured = await measure()
          const delivery = emptyDelivery(clock.wallMs())
          readSample(measured, { device: dependencies.agent, kind: 'host' }, delivery)
          if (!intake.accept(delivery)) intake.shed(delivery)
        } catch (error) {
          if (detail !== messageOf(error)) log.warn({ err: error }, 'the host cannot be measured')
          detail = messageOf(error)
        }
      }
      running = every(config.interval, take, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort(new DOMException('the input stops', 'AbortError'))
      await running
      state = 'stopped'
    },
    pendingSinceMs: () => undefined,
    status: () => ({
      name: config.name,
      type: 'host',
      state,
      samples: intake.samples,
      readings: intake.readings,
      deadLetters: intake.deadLetters,
      lastSampleAtMs: intake.lastSampleAtMs,
      detail,
    }),
  }
}

/** @returns a function that measures now; CPU since the call before */
function createHostMeter(disk: string): () => Promise<Record<string, FieldValue | undefined>> {
  let before = cpuTimes()
  return async () => {
    const now = cpuTimes()
    const elapsed = now.total - before.total
    const busy = elapsed > 0 ? 1 - (now.idle - before.idle) / elapsed : 0
    before = now
    const memory = await memoryAvailableBytes()
    const { blocks, bavail, bfree, bsize } = await statfs(disk)
    const usable = blocks - bfree + bavail
    return {
      cpu_percent: rounded(100 * Math.min(1, Math.max(0, busy)), 1),
      load_1m: rounded(loadavg()[0] ?? 0, 2),
      memory_used_percent: rounded((100 * (totalmem() - memory)) / totalmem(), 1),
      memory_used_bytes: totalmem() - memory,
      disk_used_percent: usable > 0 ? rounded((100 * (blocks - bfree)) / usable, 1) : undefined,
      disk_free_bytes: bavail * bsize,
      soc_temperature_c: await socTemperature(),
      under_voltage: await underVoltage(),
      uptime_s: Math.floor(uptime()),
    }
  }
}

function cpuTimes(): { idle: number; total: number } {
  let idle = 0
  let total = 0
  for (const { times } of cpus()) {
    idle += times.idle
    total += times.user + times.nice + times.sys + times.idle + times.irq
  }
  return { idle, total }
}

/** What programs could still get: free memory would call the page cache used. */
async function memoryAvailableBytes(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(text)
  return match ? Number(match[1]) * 1_024 : freemem()
}

async function socTemperature(): Promise<number | undefined> {
  const text = await readFile('/sys/class/thermal/thermal_zone0/temp', 'utf8').catch(() => '')
  const millidegrees = Number.parseInt(text, 10)
  return Number.isFinite(millidegrees) ? rounded(millidegrees / 1_000, 1) : undefined
}

/** The Raspberry Pi's firmware tells it as an alarm of the hwmon device `rpi_volt`. */
async function underVoltage(): Promise<boolean | undefined> {
  for (const name of await readdir('/sys/class/hwmon').catch(() => [])) {
    const folder = `/sys/class/hwmon/${name}`
    if ((await readFile(`${folder}/name`, 'utf8').catch(() => '')).trim() !== 'rpi_volt') continue
    const alarm = await readFile(`${folder}/in0_lcrit_alarm`, 'utf8').catch(() => '')
    return alarm === '' ? undefined : alarm.trim() === '1'
  }
  return undefined
}

const rounded = (value: number, decimals: number): number => Math.round(value * 10 ** decimals) / 10 ** decimals
