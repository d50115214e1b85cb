/**
 * A pipeline that looks lived in: the agents' spools hold days of what their devices measured while the gateway was away, and
 * drain through all of it; then the devices measure live, things go wrong, and somebody says what they make of it.
 */
import { join } from 'node:path'
import { fillSpool } from '@tributary/edge-agent/testing'
import { loadScenario, type Run } from '@tributary/firmware-sim'
import { systemClock } from '@tributary/runtime'
import { askJson, type Pipeline, type SimulatedSample, simulatedSamples } from '@tributary/stack'
import { runTributary, until } from './run-tributary.ts'

const READINGS_PER_BATCH = 1_000
const SPOOL = { segmentBytesMax: 8 * 1024 ** 2, bytesMax: 1024 ** 3 }
const DRAIN_MS_MAX = 180_000

/** To be called before the pipeline starts. @param rate readings of all devices together in the past, a second. @returns the past's readings */
export async function givePast(
  pipeline: Pipeline,
  folder: string,
  scenarioFile: string,
  spanMs: number,
  rate = 8,
): Promise<number> {
  const scenario = await loadScenario(scenarioFile)
  const toMs = systemClock.wallMs() - 1_000
  // What goes wrong in the scenario is to go wrong live.
  const calm = { ...scenario, anomalies: [], bad_values: [], faults: [] }
  const run: Run = { seed: 7, startedAtMs: toMs - spanMs, rate, scenario: calm, firstSequences: {} }
  let readings = 0
  for (const { name } of pipeline.agents) {
    const own = new Set(
      scenario.devices.filter(({ serial }) => (serial !== undefined) === (name === 'agent-1')).map((d) => d.name),
    )
    const options = { agent: name, bootId: 'before', readingsPerBatch: READINGS_PER_BATCH, spool: SPOOL }
    const samples = ofDevices(simulatedSamples(run, toMs), own)
    const filled = await fillSpool(join(folder, `${name}-spool`), samples, options, systemClock)
    readings += filled.readings
  }
  return readings
}

function* ofDevices(samples: Iterable<SimulatedSample>, devices: ReadonlySet<string>): Generator<SimulatedSample> {
  for (const sample of samples) if (devices.has(sample.device)) yield sample
}

interface AgentAnswer {
  readonly connected: boolean
  readonly backlogBatches: number
}

/** The past is in the store. */
export async function untilDrained({ urls }: Pipeline): Promise<void> {
  for (const url of urls.agents)
    await until(
      async () => {
        const status = await askJson<AgentAnswer>(`${url}/status`)
        return status?.connected === true && status.backlogBatches <= 1
      },
      `the backlog of ${url} is sent`,
      DRAIN_MS_MAX,
    )
}

interface Listed {
  readonly alerts: readonly { readonly episode: string; readonly detector: string | null }[]
}
interface Noticed {
  readonly anomalies: readonly { readonly id: string; readonly detector: string }[]
}

/** Acknowledges what fires first, and judges one anomaly, as the one on call would. */
export async function sayWhatOneMakesOfIt({ nats }: Pipeline): Promise<void> {
  const run = (...given: string[]) => runTributary([...given, '--nats', nats.url])
  const read = async <T>(...given: string[]) => JSON.parse((await run(...given, '--json')).stdout) as T
  const firing = async () => (await read<Listed>('alert', 'list', '--firing')).alerts[0]?.episode
  await until(async () => (await firing()) !== undefined, 'an alert fires', 90_000)
  await run('alert', 'ack', (await firing()) as string, '--by', 'ann', '--comment', 'on my way')
  const outlier = async () => (await read<Noticed>('anomaly', 'list', '--detector', 'outlier')).anomalies[0]?.id
  await until(async () => (await outlier()) !== undefined, 'an outlier is noticed', 90_000)
  await run('anomaly', 'confirm', (await outlier()) as string, '--by', 'ann')
}
