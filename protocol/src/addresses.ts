/** Builds and parses every MQTT topic and NATS subject. Nothing else in the project spells one. */

import type { DeadLetterStage } from './dead-letter.ts'
import { NAME_BYTES_MAX, PARTITION_COUNT } from './limits.ts'

const NAME = /^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$/

/** What a name of an agent, a site or a device may look like: it stands in topics, subjects, tags and file names. */
export const NAME_RULE = `lower-case letters, digits, "-" and "_", at most ${NAME_BYTES_MAX}, beginning and ending with a letter or digit`

export function isName(text: string): boolean {
  return text.length <= NAME_BYTES_MAX && NAME.test(text)
}

function name(text: string): string {
  if (!isName(text)) throw new RangeError(`"${text}" is not a name: ${NAME_RULE}`)
  return text
}

const MQTT_ROOT = 'tributary/v1'

export type AgentChannel = 'batch' | 'clock' | 'stored' | 'command'
const CHANNELS: readonly string[] = ['batch', 'clock', 'stored', 'command'] satisfies AgentChannel[]

export const mqttTopic = (agent: string, channel: AgentChannel): string => `${MQTT_ROOT}/${name(agent)}/${channel}`

/** @returns undefined when the topic is none of ours. */
export function parseMqttTopic(topic: string): { agent: string; channel: AgentChannel } | undefined {
  const parts = topic.split('/')
  const [root, version, agent, channel] = parts
  if (parts.length !== 4 || `${root}/${version}` !== MQTT_ROOT) return undefined
  if (agent === undefined || channel === undefined || !isName(agent) || !CHANNELS.includes(channel)) return undefined
  return { agent, channel: channel as AgentChannel }
}

/** FNV-1a over UTF-8, modulo 16: stable for ever, because streams and checkpoints are named after it. */
export function partitionOf(site: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(site, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % PARTITION_COUNT
}

export const telemetrySubject = (site: string, agent: string): string =>
  `telemetry.v1.${partitionOf(site)}.${name(site)}.${name(agent)}`
export const telemetryPartitionFilter = (partition: number): string => `telemetry.v1.${partition}.>`
export const TELEMETRY_SUBJECTS = 'telemetry.v1.>'

export function parseTelemetrySubject(subject: string): { partition: number; site: string; agent: string } | undefined {
  const match = /^telemetry\.v1\.(\d+)\.([^.]+)\.([^.]+)$/.exec(subject)
  if (!match) return undefined
  const [, partition, site, agent] = match as unknown as [string, string, string, string]
  return isName(site) && isName(agent) ? { partition: Number(partition), site, agent } : undefined
}

/** Requests to requeue or drop a dead letter: in the same partition as the batches of its agent, and in order with them. */
export const requeueSubject = (site: string, agent: string): string => `${telemetrySubject(site, agent)}.requeue`

export function parseRequeueSubject(subject: string): { partition: number; site: string; agent: string } | undefined {
  return subject.endsWith('.requeue') ? parseTelemetrySubject(subject.slice(0, -'.requeue'.length)) : undefined
}

/** What people ask of a partition, and its tick, by which it knows that time goes on: in order with its batches. */
export const operatorSubject = (partition: number): string => `telemetry.v1.${partition}.operator`
export const tickSubject = (partition: number): string => `telemetry.v1.${partition}.tick`
export const isOperatorSubject = (subject: string): boolean => /^telemetry\.v1\.\d+\.operator$/.test(subject)
export const isTickSubject = (subject: string): boolean => /^telemetry\.v1\.\d+\.tick$/.test(subject)
/** What became of a request of an operator, for who listens at the moment. */
export const operatorAnswerSubject = (request: string): string => `operator.v1.answer.${name(request)}`
/** Questions to all processors: what is open, and a test of a receiver. */
export const ALERTS_QUESTION_SUBJECT = 'operator.v1.alerts'
export const RECEIVER_TEST_SUBJECT = 'operator.v1.test'

/** An agent whose name could not be told is filed under `unknown`. */
export const deadLetterSubject = (stage: DeadLetterStage, agent: string): string =>
  `deadletter.v1.${stage}.${isName(agent) ? agent : 'unknown'}`
/** What became of dead letters that were requeued or dropped. */
export const settledSubject = (agent: string): string => `deadletter.v1.settled.${isName(agent) ? agent : 'unknown'}`
export const SETTLED_SUBJECTS = 'deadletter.v1.settled.*'
export const isSettledSubject = (subject: string): boolean => subject.startsWith('deadletter.v1.settled.')
export const DEAD_LETTER_SUBJECTS = 'deadletter.v1.>'

export const anomalySubject = (site: string, device: string): string => `anomaly.v1.${name(site)}.${name(device)}`
export const alertSubject = (site: string): string => `alert.v1.${name(site)}`
export const storedSubject = (site: string): string => `stored.v1.${name(site)}`
export const resendSubject = (site: string): string => `resend.v1.${name(site)}`
export const watermarkSubject = (site: string): string => `watermark.v1.${name(site)}`

/** JetStream streams: the gateway creates the first, the processor both. */
export const TELEMETRY_STREAM = 'TELEMETRY'
export const DEAD_LETTER_STREAM = 'DEADLETTER'

/** The KV bucket of checkpoints: `<partition>.head` names the generations, `<partition>.<generation>.<number>` are their pieces. */
export const CHECKPOINT_BUCKET = 'tributary_checkpoints'
export const CHECKPOINT_STREAM = `KV_${CHECKPOINT_BUCKET}`
export const CHECKPOINT_SUBJECTS = `$KV.${CHECKPOINT_BUCKET}.>`
export const checkpointSubject = (partition: number, ...parts: readonly (string | number)[]): string =>
  `$KV.${CHECKPOINT_BUCKET}.${[String(partition).padStart(2, '0'), ...parts].join('.')}`
