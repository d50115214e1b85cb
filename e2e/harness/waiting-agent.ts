/** An agent of which a spool is left, full of readings that are known one by one, and the agent as a Pi runs it: one bundled file. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type FilledSpool, fillSpool, type Sample } from '@tributary/edge-agent/testing'
import { systemClock } from '@tributary/runtime'
import { answers, createManagedProcess, freePort, type ManagedProcess, repositoryFolder } from '@tributary/stack'
import { stringify } from 'yaml'

const SAMPLES = 600
const READINGS_PER_BATCH = 40
const SEGMENT_BYTES = 2_048

export interface WaitingAgent {
  readonly name: string
  /** Of its readings. */
  readonly device: string
  readonly spoolFolder: string
  readonly filled: FilledSpool
  /** The samples of each batch: the first one's at 0. */
  readonly batches: readonly (readonly Sample[])[]
  readonly url: string
  readonly process: ManagedProcess
}

/** @returns the path of the agent's bundle */
export async function bundleAgent(folder: string): Promise<string> {
  const build = join(repositoryFolder, 'edge-agent', 'build.ts')
  await promisify(execFile)(process.execPath, ['--import', 'tsx', build, folder], { cwd: repositoryFolder })
  return join(folder, 'agent.cjs')
}

/** A sample a second; every seventh without its pressure, so that batches differ in readings. */
function samplesOf(device: string, fromMs: number): Sample[] {
  return Array.from({ length: SAMPLES }, (_, i) => {
    const names = ['temperature_c', 'humidity_percent', 'pressure_hpa', 'sequence']
    const values = [18 + (i % 500) / 100, 40 + (i % 170) / 10, 990 + (i % 2_300) / 100, i + 1]
    if (i % 7 === 3) {
      names.splice(2, 1)
      values.splice(2, 1)
    }
    return { device, kind: 'climate', measuredAtMs: fromMs + i * 1_000, sequence: i + 1, names, values }
  })
}

function splitByReadings(samples: readonly Sample[], readingsThrough: readonly number[]): Sample[][] {
  const batches: Sample[][] = readingsThrough.map(() => [])
  let batch = 0
  let readings = 0
  for (const sample of samples) {
    if (readings === readingsThrough[batch]) batch += 1
    batches[batch]?.push(sample)
    readings += sample.names.length
  }
  return batches
}

/** Fills its spool; nothing is started. */
export async function createWaitingAgent(options: {
  readonly name: string
  /** For its config and log. */
  readonly folder: string
  readonly spoolFolder: string
  readonly bundle: string
  readonly gatewayPort: number
  readonly password: string
  /** Of its first reading. */
  readonly fromMs: number
  readonly freeDisk?: string
  /** By default of ten minutes. */
  readonly samples?: (device: string, fromMs: number) => Sample[]
}): Promise<WaitingAgent> {
  const { name, folder, spoolFolder, bundle, gatewayPort, password, fromMs, freeDisk = '1MiB' } = options
  const device = `${name}-room`
  const samples = (options.samples ?? samplesOf)(device, fromMs)
  const filled = await fillSpool(
    spoolFolder,
    samples,
    {
      agent: name,
      bootId: 'before',
      readingsPerBatch: READINGS_PER_BATCH,
      spool: { segmentBytesMax: SEGMENT_BYTES, bytesMax: 1024 * SEGMENT_BYTES },
    },
    systemClock,
  )
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const config = {
    agent: name,
    spool: { folder: spoolFolder, budget: '8MiB', segment: '2MiB', durability: '50ms', free_disk: freeDisk },
    batch: { age: '200ms' },
    gateway: { url: `mqtt://127.0.0.1:${gatewayPort}`, password },
    clock: { trusted: 'always' },
    admin: { listen: `127.0.0.1:${port}` },
    // What the spool lost is told with the next batch: this makes them.
    inputs: [{ name: 'host', type: 'host', interval: '500ms' }],
  }
  const configFile = join(folder, `${name}.yaml`)
  await writeFile(configFile, stringify(config))
  return {
    name,
    device,
    spoolFolder,
    filled,
    batches: splitByReadings(samples, filled.readingsThrough),
    url,
    process: createManagedProcess({
      name,
      program: process.execPath,
      arguments: [bundle, '--config', configFile],
      logFile: join(folder, 'logs', `${name}.log`),
      isReady: () => answers(`${url}/healthz`),
    }),
  }
}
