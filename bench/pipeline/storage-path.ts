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
}

/** Runs `work`, which stores `readings` and says when the last one was in the database. */
export async function measureCost(
  processes: readonly ManagedProcess[],
  readings: number,
  work: () => Promise<{ readonly atMs: number }>,
): Promise<Cost> {
  const cpuSeconds = () => Promise.all(processes.map(async (process) => (await process.cpuSeconds()) ?? 0))
  const before = await cpuSeconds()
  const startMs = clock.monotonicMs()
  const { atMs } = await work()
  const after = await cpuSeconds()
  const microseconds = new Map(
    processes.map(({ name }, i) => [name, (((after[i] as number) - (before[i] as number)) * 1e6) / readings]),
  )
  return {
    readings,
    readingsPerSecond: (readings * 1000) / (atMs - startMs),
    microseconds,
    microsecondsInAll: [...microseconds.values()].reduce((sum, value) => sum + value, 0),
  }
}

/** Messages made beforehand are published as fast as the broker takes them, and everything is awaited in the database. */
export async function measureMaximum(
  path: StoragePath,
  publisher: Publisher,
  workload: Workload,
  { readings, samplesPerMessage }: { readonly readings: number; readonly samplesPerMessage: number },
  report: Report,
): Promise<Cost> {
  const until = workload.readings + readings
  const messages: Message[] = []
  while (workload.readings < until) messages.push(workload.message(samplesPerMessage))
  const cost = await measureCost(path.processes, readings, async () => {
    await publisher.publishAll(messages)
    const { stored, atMs } = await untilStored(path.query, workload, report.progress)
    if (stored !== workload.readings)
      throw new Error(`${path.name}: ${stored} of ${workload.readings} readings are in the database`)
    return { atMs }
  })
  await expectStored(path.query, workload)
  return cost
}

export const costText = ({ readingsPerSecond, microseconds, microsecondsInAll }: Cost): string =>
  `${Math.round(readingsPerSecond).toLocaleString('en-GB')} readings/s; CPU ${microsecondsInAll.toFixed(2)} µs a reading (${[...microseconds].map(([name, value]) => `${name} ${value.toFixed(2)}`).join(', ')})`
