/** A way from the broker of the sensors into a database, as processes; what it takes at most, and what it costs. */
import type { InfluxQuery } from '@tributary/cloud-processor'
import { systemClock } from '@tributary/runtime'
import type { ManagedProcess } from '@tributary/stack'
import type { Report } from '../report.ts'
import type { Publisher } from './publisher.ts'
import { expectStored, untilStored } from './stored.ts'
import type { Message, Workload } from './workload.ts'

const clock = systemClock

export interface StoragePath {
  readonly name: string
  readonly influx: ManagedProcess
  /** All that work is charged to, influxd among them; the broker and the devices are not. */
  readonly processes: readonly ManagedProcess[]
  readonly query: InfluxQuery
  start(): Promise<void>
  stop(): Promise<void>
}

export interface Cost {
  readonly readings: number
  readonly readingsPerSecond: number
  /** By process, the costliest last. */
  readonly microseconds: ReadonlyMap<string, number>
  readonly microsecondsInAll: number
  /** Of what runs beside it on the same cores and is charged to nobody: the broker and, in this process, the devices. */
  readonly microsecondsBeside: number
}

const REST_LOOK_MS = 500
const REST_SHARE = 0.1
const REST_MS_MAX = 15_000

/** Until what was done before, such as a database that rewrites its files, is not charged to what comes; but not for ever. */
async function untilAtRest(processes: readonly ManagedProcess[]): Promise<void> {
  const cpuMs = async () => {
    const seconds = await Promise.all(processes.map((process) => process.cpuSeconds()))
    return seconds.reduce<number>((sum, value) => sum + (value ?? 0), 0) * 1000
  }
  const untilMs = clock.monotonicMs() + REST_MS_MAX
  for (let before = await cpuMs(); clock.monotonicMs() < untilMs; ) {
    const startMs = clock.monotonicMs()
    await clock.sleep(REST_LOOK_MS)
    const now = await cpuMs()
    if (now - before < REST_SHARE * (clock.monotonicMs() - startMs)) return
    before = now
  }
}

/** Runs `work`, which stores `readings` and says when the last one was in the database. */
export async function measureCost(
  processes: readonly ManagedProcess[],
  readings: number,
  work: () => Promise<{ readonly atMs: number }>,
  broker?: ManagedProcess,
): Promise<Cost> {
  const secondsOf = async (process: ManagedProcess | undefined) => (await process?.cpuSeconds()) ?? 0
  const cpuSeconds = () => Promise.all(processes.map(secondsOf))
  const secondsBeside = async () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6 + (await secondsOf(broker))
  }
  await untilAtRest(processes)
  const before = await cpuSeconds()
  const beside = await secondsBeside()
  const startMs = clock.monotonicMs()
  const { atMs } = await work()
  const after = await cpuSeconds()
  const microsecondsBeside = (((await secondsBeside()) - beside) * 1e6) / readings
  const microseconds = new Map(
    processes.map(({ name }, i) => [name, (((after[i] as number) - (before[i] as number)) * 1e6) / readings]),
  )
  return {
    readings,
    readingsPerSecond: (readings * 1000) / (atMs - startMs),
    microseconds,
    microsecondsInAll: [...microseconds.values()].reduce((sum, value) => sum + value, 0),
    microsecondsBeside,
  }
}

/** Messages made beforehand are published as fast as the broker takes them, and everything is awaited in the database. */
export async function measureMaximum(
  path: StoragePath,
  publisher: Publisher,
  workload: Workload,
  {
    readings,
    samplesPerMessage,
    broker,
  }: { readonly readings: number; readonly samplesPerMessage: number; readonly broker: ManagedProcess },
  report: Report,
): Promise<Cost> {
  const until = workload.readings + readings
  const messages: Message[] = []
  while (workload.readings < until) messages.push(workload.message(samplesPerMessage))
  const work = async () => {
    await publisher.publishAll(messages)
    const { stored, atMs } = await untilStored(path.query, workload, report.progress)
    if (stored !== workload.readings)
      throw new Error(`${path.name}: ${stored} of ${workload.readings} readings are in the database`)
    return { atMs }
  }
  const cost = await measureCost(path.processes, readings, work, broker)
  await expectStored(path.query, workload)
  return cost
}

export const rateText = ({ readingsPerSecond }: Cost): string => Math.round(readingsPerSecond).toLocaleString('en-GB')

export const costText = (cost: Cost): string =>
  `${rateText(cost)} readings/s; CPU ${cost.microsecondsInAll.toFixed(2)} µs a reading (${[...cost.microseconds].map(([name, value]) => `${name} ${value.toFixed(2)}`).join(', ')}), beside it ${cost.microsecondsBeside.toFixed(2)}`
