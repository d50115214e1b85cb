/** What is lost when the database is killed and comes back while devices go on measuring. Counted in the database. */
import { systemClock } from '@tributary/runtime'
import type { Publisher } from '../pipeline/publisher.ts'
import type { StoragePath } from '../pipeline/storage-path.ts'
import { expectStored, untilStored } from '../pipeline/stored.ts'
import { READINGS_PER_SAMPLE, type Workload } from '../pipeline/workload.ts'
import type { Report } from '../report.ts'

const clock = systemClock
const BEFORE_MS = 2_000
const DOWN_MS = 2_000
const AFTER_MS = 2_000

export interface OutageOptions {
  readonly readingsPerSecond: number
  readonly samplesPerMessage: number
}

export interface OutageResult {
  readonly published: number
  readonly lost: number
  /** From the kill until it answers again. */
  readonly downMs: number
}

export async function measureOutage(
  path: StoragePath,
  publisher: Publisher,
  workload: Workload,
  { readingsPerSecond, samplesPerMessage }: OutageOptions,
  report: Report,
): Promise<OutageResult> {
  const before = workload.readings
  const everyMs = (1000 * samplesPerMessage * READINGS_PER_SAMPLE) / readingsPerSecond
  const publishing = publisher.publishPaced({ everyMs, durationMs: BEFORE_MS + DOWN_MS + AFTER_MS }, () => [
    workload.message(samplesPerMessage),
  ])
  const breaking = (async () => {
    await clock.sleep(BEFORE_MS)
    const downAtMs = clock.monotonicMs()
    await path.influx.kill('SIGKILL')
    await clock.sleep(DOWN_MS)
    await path.influx.start()
    return clock.monotonicMs() - downAtMs
  })()
  const [downMs] = await Promise.all([breaking, publishing])
  const { stored } = await untilStored(path.query, workload, report.progress)
  const lost = workload.readings - stored
  if (lost === 0) await expectStored(path.query, workload)
  return { published: workload.readings - before, lost, downMs }
}
