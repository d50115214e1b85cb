import { messageOf } from '@tributary/runtime'
import { Command } from 'commander'
import { askAdmin } from '../admin-client.ts'
import { age, brief, bytes, count, print, printJson, table } from '../print.ts'

interface AgentStatus {
  agent: string
  connected: boolean
  uptimeSeconds: number
  backlogBatches: number
  backlogBytes: number
  drainSeconds: number
  /** Missing where the agent is older, as the three that follow. */
  window?: { live: number; backlog: number; inFlight: number }
  retain?: 'acknowledged' | 'stored'
  nextSequence: number
  storedThrough?: number | null
  producedReadings: number
  /** Missing where the agent is older. */
  clock?: { detail: string; correctedReadings: number; estimatedReadings: number; untrustedReadings: number }
  inputs: {
    name: string
    type: string
    state: string
    samples: number
    readings: number
    deadLetters: number
    detail?: string
  }[]
}
interface GatewayStatus {
  gateway: string
  site: string
  natsConnected: boolean
  spool: { bytesUsed: number }
  /** Missing where the gateway is older. */
  backlog?: { batches: number; bytes: number; drainSeconds: number; streamWaitSeconds: number; pubacksHeld: number }
  agents: { agent: string; connected: boolean; receivedThrough: number; storedThrough: number; repeated: number }[]
}
interface ProcessorStatus {
  processor: string
  natsConnected: boolean
  influx: { url: string; version: string; ok: boolean; error?: string }
  readingsTotal: number
  series: number
  openAlerts: number
  /** Missing where the processor is older. */
  failingReceivers?: { receiver: string; failingForMs: number; lastError: string }[]
}

export function statusCommand(): Command {
  const collect = (value: string, before: string[]) => [...before, value]
  return new Command('status')
    .description('ask running agents, gateways and processors how they are')
    .option('--agent <url>', 'admin address of an agent (repeatable; default http://127.0.0.1:9601)', collect, [])
    .option('--gateway <url>', 'admin address of a gateway (repeatable; default http://127.0.0.1:9602)', collect, [])
    .option(
      '--processor <url>',
      'admin address of a processor (repeatable; default http://127.0.0.1:9603)',
      collect,
      [],
    )
    .option('--json', 'print {agents: […], gateways: […], processors: […]}, each {url, status} or {url, error}')
    .action(async (options: { agent: string[]; gateway: string[]; processor: string[]; json?: boolean }) => {
      const none = options.agent.length + options.gateway.length + options.processor.length === 0
      const ask = <T>(urls: string[], fallback: string, option: string) =>
        Promise.all((none ? [fallback] : urls).map((url) => inquire<T>(url, option)))
      const agents = await ask<AgentStatus>(options.agent, 'http://127.0.0.1:9601', '--agent')
      const gateways = await ask<GatewayStatus>(options.gateway, 'http://127.0.0.1:9602', '--gateway')
      const processors = await ask<ProcessorStatus>(options.processor, 'http://127.0.0.1:9603', '--processor')
      if (options.json) printJson({ agents, gateways, processors })
      else {
        for (const answer of agents) print('error' in answer ? `agent: ${answer.error}\n` : agentText(answer.status))
        for (const answer of gateways)
          print('error' in answer ? `gateway: ${answer.error}\n` : gatewayText(answer.status))
        for (const answer of processors)
          print('error' in answer ? `processor: ${answer.error}\n` : processorText(answer.status))
      }
      if ([...agents, ...gateways, ...processors].some((answer) => 'error' in answer)) process.exitCode = 1
    })
}

async function inquire<T>(
  url: string,
  option: string,
): Promise<{ url: string; status: T } | { url: string; error: string }> {
  try {
    return { url, status: await askAdmin<T>(url, '/status', option) }
  } catch (error) {
    return { url, error: messageOf(error) }
  }
}

function agentText(s: AgentStatus): string {
  const inputs = table(
    ['input', 'type', 'state', 'samples', 'readings', 'dead letters', ''],
    s.inputs.map((i) => [i.name, i.type, i.state, i.samples, i.readings, i.deadLetters, i.detail ?? '']),
  )
  const backlog = s.backlogBatches === 0 ? 'no backlog' : backlogText(s.backlogBatches, s.backlogBytes, s.drainSeconds)
  const kept =
    s.retain === 'stored'
      ? `, kept until stored (through ${s.storedThrough ?? 'nothing known'} of ${s.nextSequence - 1})`
      : ''
  return `agent ${s.agent}: ${s.connected ? 'connected' : 'NOT CONNECTED to its gateway'}, up ${age(s.uptimeSeconds * 1000)}, ${count(s.producedReadings)} readings produced, ${backlog}${kept}\n${clockText(s)}${inputs}\n`
}

/** More than this nobody waits for: it does not shrink. */
const DRAIN_SECONDS_MAX = 1_000_000

function backlogText(batches: number, size: number, drainSeconds: number): string {
  const drained =
    drainSeconds >= DRAIN_SECONDS_MAX
      ? 'does not shrink'
      : drainSeconds > 0
        ? `drained in ${age(drainSeconds * 1000)}`
        : 'time to drain not known yet'
  return `backlog ${count(batches)} batches, ${bytes(size)}, ${drained}`
}

function clockText({ clock }: AgentStatus): string {
  if (!clock) return ''
  const marked = [
    [clock.correctedReadings, 'corrected'],
    [clock.estimatedReadings, 'estimated'],
    [clock.untrustedReadings, 'UNTRUSTED'],
  ] as const
  const counts = marked.flatMap(([readings, how]) => (readings > 0 ? [`${count(readings)} ${how}`] : []))
  return `clock: ${clock.detail}${counts.length > 0 ? ` (readings sent since its start: ${counts.join(', ')})` : ''}\n`
}

function gatewayText(s: GatewayStatus): string {
  const agents = table(
    ['agent', 'state', 'received through', 'stored through', 'repeats'],
    s.agents.map((a) => [
      a.agent,
      a.connected ? 'connected' : 'NOT CONNECTED',
      a.receivedThrough,
      a.storedThrough,
      a.repeated,
    ]),
  )
  const { batches = 0, bytes: size = 0, drainSeconds = 0, streamWaitSeconds = 0 } = s.backlog ?? {}
  const backlog = batches === 0 ? '' : `, ${backlogText(batches, size, drainSeconds)}`
  const behind =
    streamWaitSeconds >= DRAIN_SECONDS_MAX
      ? ', nothing is TAKEN OUT OF THE STREAM'
      : streamWaitSeconds > 2
        ? `, the stream is ${age(streamWaitSeconds * 1000)} BEHIND`
        : ''
  return `gateway ${s.gateway} at site ${s.site}: NATS ${s.natsConnected ? 'connected' : 'NOT CONNECTED'}, spool ${bytes(s.spool.bytesUsed)}${backlog}${behind}\n${agents}\n`
}

export const processorText = (s: ProcessorStatus): string =>
  `processor ${s.processor}: NATS ${s.natsConnected ? 'connected' : 'NOT CONNECTED'}, InfluxDB ${s.influx.version} at ${s.influx.url} ${
    s.influx.ok ? 'answers' : `DOES NOT ANSWER (${s.influx.error})`
  }, ${count(s.readingsTotal)} readings, ${count(s.series)} series, ${count(s.openAlerts)} open alerts${(s.failingReceivers ?? []).map(receiverText).join('')}`

const receiverText = (r: { receiver: string; failingForMs: number; lastError: string }): string =>
  `\nreceiver ${r.receiver} TAKES NO NOTIFICATIONS for ${age(r.failingForMs)}: ${brief(r.lastError)}`
