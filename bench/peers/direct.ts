/** influxd alone: the lines that Tributary would write, made beforehand and sent by its own sink in requests of its own size. */
import { mkdir } from 'node:fs/promises'
import { createInfluxQuery } from '@tributary/cloud-processor'
import { createInfluxSink, LineBuffer } from '@tributary/cloud-processor/testing'
import { createLogger, systemClock } from '@tributary/runtime'
import { createInfluxServer, findServer, freePort } from '@tributary/stack'
import { type Cost, measureCost } from '../pipeline/storage-path.ts'
import { expectStored, untilStored } from '../pipeline/stored.ts'
import { READINGS_PER_SAMPLE, type Workload } from '../pipeline/workload.ts'
import type { Report } from '../report.ts'

/** The processor's default `influx.lines_per_request`. */
const LINES_PER_REQUEST = 5_000

export interface DirectOptions {
  readonly warmUpReadings: number
  readonly readings: number
  readonly samplesPerMessage: number
  /** Requests under way at once. */
  readonly writers: number
}

export async function measureDirect(
  folder: string,
  workload: Workload,
  { warmUpReadings, readings, samplesPerMessage, writers }: DirectOptions,
  report: Report,
): Promise<Cost> {
  await mkdir(folder)
  const ports = { http: await freePort(), rpc: await freePort() }
  const influx = await createInfluxServer(await findServer('influxd'), folder, ports)
  const options = { url: influx.url, version: '1', database: 'direct' } as const
  const log = createLogger('direct', 'error')
  const sink = createInfluxSink({ ...options, linesPerRequest: LINES_PER_REQUEST }, { clock: systemClock, log })
  const query = createInfluxQuery(options)
  const { signal } = new AbortController()
  const write = async (requests: LineBuffer[]) => {
    const writer = async () => {
      for (let lines = requests.shift(); lines; lines = requests.shift()) await sink.write(lines, 'raw', signal)
    }
    await Promise.all(Array.from({ length: writers }, writer))
    return untilStored(query, workload, report.progress)
  }
  await influx.start()
  try {
    await sink.prepare(signal)
    await write(requestsOf(workload, warmUpReadings, samplesPerMessage))
    const requests = requestsOf(workload, readings, samplesPerMessage)
    const cost = await measureCost([influx], readings, () => write(requests))
    await expectStored(query, workload)
    return cost
  } finally {
    await query.close()
    await sink.close()
    await influx.stop()
  }
}

function requestsOf(workload: Workload, readings: number, samplesPerMessage: number): LineBuffer[] {
  const requests: LineBuffer[] = []
  for (let left = readings / READINGS_PER_SAMPLE; left > 0; ) {
    const lines = new LineBuffer(128 * LINES_PER_REQUEST)
    while (lines.count < Math.min(LINES_PER_REQUEST, left))
      workload.lines(Math.min(samplesPerMessage, LINES_PER_REQUEST - lines.count, left - lines.count), lines)
    left -= lines.count
    requests.push(lines)
  }
  return requests
}
