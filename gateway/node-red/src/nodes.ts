/** Our four nodes, as Node-RED wants them: `nodes/tributary.cjs` hands its registry over, what they do stands in the files they call. */
import { type Clock, messageOf } from '@tributary/runtime'
import { type AlertBook, type AlertChange, flowKey } from './alert-book.ts'
import type { DerivedSender } from './derived-sender.ts'
import { createDownSampler, type DownSampler, EVERY_MS_MIN, type Fold } from './down-sampler.ts'
import type { Severity } from './local-alerts.ts'
import type { Overview } from './overview.ts'

interface Message {
  topic?: unknown
  payload?: unknown
  device?: unknown
  kind?: unknown
  time?: unknown
  [property: string]: unknown
}
interface FlowNode {
  send(message: Message): void
  status(status: { fill?: 'green' | 'yellow' | 'red'; shape?: 'dot' | 'ring'; text?: string }): void
  on(
    event: 'input',
    handler: (message: Message, send: (message: Message) => void, done: (error?: Error) => void) => void,
  ): void
  on(event: 'close', handler: (done: () => void) => void): void
}
type NodeConfig = Readonly<Record<string, unknown>>
/** Node-RED's registry, as far as we use it. */
export interface NodeRegistry {
  nodes: {
    createNode(node: FlowNode, config: NodeConfig): void
    registerType(type: string, start: (this: FlowNode, config: NodeConfig) => void): void
  }
}

export interface NodeParts {
  readonly samplers: Set<DownSampler>
  readonly sender: DerivedSender
  readonly alerts: AlertBook
  readonly overview: () => Overview
  readonly clock: Clock
}

const STATUS_EVERY_MS = 1_000
const OVERVIEW_EVERY_MS = 2_000
const FOLDS: readonly string[] = ['last', 'mean', 'min', 'max'] satisfies Fold[]
const SEVERITIES: readonly string[] = ['critical', 'warning', 'info'] satisfies Severity[]
const signal = new AbortController().signal

export function registerNodes(red: NodeRegistry, parts: NodeParts): void {
  const register = (type: string, start: (node: FlowNode, config: NodeConfig) => () => void | Promise<void>) =>
    red.nodes.registerType(type, function (config) {
      red.nodes.createNode(this, config)
      const stop = start(this, config)
      this.on('close', (done) => {
        Promise.resolve(stop()).finally(done)
      })
    })
  register('tributary in', (node, config) => startIn(node, config, parts))
  register('tributary out', (node, config) => startOut(node, config, parts))
  register('tributary alert', (node, config) => startAlert(node, config, parts))
  register('tributary site', (node) =>
    repeat(parts.clock, OVERVIEW_EVERY_MS, () => node.send({ topic: 'site', payload: parts.overview() })),
  )
}

/** @returns how to end it */
function repeat(clock: Clock, everyMs: number, work: () => void): () => void {
  let cancel: () => void
  const next = () => {
    cancel = clock.after(everyMs, next)
    work()
  }
  cancel = clock.after(0, next)
  return () => cancel()
}

const text = (given: unknown): string => (typeof given === 'string' ? given.trim() : '')

function startIn(node: FlowNode, config: NodeConfig, { samplers, clock }: NodeParts) {
  const fold = text(config['fold'])
  const sampler = createDownSampler(
    {
      kind: text(config['kind']),
      device: text(config['device']),
      everyMs: Math.max(EVERY_MS_MIN, Number(config['every']) * 1_000 || 0),
      fold: FOLDS.includes(fold) ? (fold as Fold) : 'last',
    },
    ({ device, kind, agent, timeMs, samples, fields }) =>
      node.send({ topic: `${kind}/${device}`, payload: fields, device, kind, agent, time: timeMs, samples }),
    { clock },
  )
  sampler.start(signal)
  samplers.add(sampler)
  const cancel = repeat(clock, STATUS_EVERY_MS, () =>
    node.status({
      fill: sampler.dropped > 0 ? 'yellow' : 'green',
      shape: 'dot',
      text: `${sampler.sent} sent${sampler.dropped > 0 ? `, ${sampler.dropped} dropped` : ''}`,
    }),
  )
  return () => {
    cancel()
    samplers.delete(sampler)
    return sampler.stop(signal)
  }
}

function startOut(node: FlowNode, config: NodeConfig, { sender, clock }: NodeParts) {
  const counts = { stored: 0, dropped: 0, problem: '' }
  node.on('input', (message, send, done) => {
    const sample = {
      device: text(message.device) || text(config['device']),
      kind: text(message.kind) || text(config['kind']),
      timeMs: Math.round(typeof message.time === 'number' ? message.time : clock.wallMs()),
      fields: message.payload,
    }
    sender.send(sample).then(
      () => {
        counts.stored += 1
        send(message)
        done()
      },
      (error) => {
        counts.dropped += 1
        counts.problem = messageOf(error)
        done(error)
      },
    )
  })
  return repeat(clock, STATUS_EVERY_MS, () => {
    const waiting = sender.problem === undefined ? '' : `, ${sender.waiting} wait: ${sender.problem}`
    const dropped = counts.dropped === 0 ? '' : `, ${counts.dropped} dropped: ${counts.problem}`
    node.status({
      fill: sender.problem ? 'red' : counts.dropped > 0 ? 'yellow' : 'green',
      shape: 'dot',
      text: `${counts.stored} stored${waiting}${dropped}`.slice(0, 200),
    })
  })
}

function startAlert(node: FlowNode, config: NodeConfig, { alerts, clock }: NodeParts) {
  const onlyWorst = text(config['severity'])
  const tell = ({ state, alert }: AlertChange) => {
    if (onlyWorst && alert.severity !== onlyWorst) return
    const { key, severity, subject, what, sinceMs } = alert
    node.send({ topic: key, payload: `${subject}: ${what}`, state, severity, subject, what, since: sinceMs })
  }
  const raised = new Set<string>()
  node.on('input', (message, _, done) => {
    const name = text(message.topic)
    if (!name) return done(new Error('give the alert a name in msg.topic'))
    if (!message.payload) {
      alerts.clear(flowKey(name))
      raised.delete(flowKey(name))
      return done()
    }
    const severity = text(message['severity'])
    const isRaised = alerts.raise({
      key: flowKey(name),
      severity: SEVERITIES.includes(severity) ? (severity as Severity) : 'warning',
      subject: (text(message['subject']) || name).slice(0, 100),
      what: String(message.payload).slice(0, 300),
    })
    if (isRaised) raised.add(flowKey(name))
    return done(isRaised ? undefined : new Error('dropped: as many alerts are open as may be'))
  })
  const forget = alerts.onChange(tell)
  const cancel = repeat(clock, STATUS_EVERY_MS, () => node.status({ shape: 'dot', text: `${alerts.open.length} open` }))
  return () => {
    cancel()
    forget()
    // A flow that is gone cannot end what it began.
    for (const key of raised) alerts.clear(key)
  }
}
