/** From an MQTT message to samples, by the topic patterns of the config. */
import { STRING_VALUE_BYTES_MAX } from '@tributary/protocol'
import { messageOf } from '@tributary/runtime'
import type { TopicConfig } from '../config.ts'
import { exactNumber, parseExactJson } from '../exact-json.ts'
import { type Delivery, emptyDelivery, isPlainObject, readSample, toJson } from '../sample.ts'
import { createLayoutReader, type LayoutReader } from './json-layout.ts'
import { matchTopic, parseTopicPattern, type TopicPattern } from './topic-pattern.ts'

/** Small enough that the samples of one message always fit into a batch, whatever they look like. */
export const PAYLOAD_BYTES_MAX = 256 * 1024

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export type ReadMessage = (topic: string, payload: Uint8Array, receivedAtMs: number) => Delivery

export function createMessageReader(topics: readonly TopicConfig[]): ReadMessage {
  const patterns = topics.map((topic) => ({
    topic,
    pattern: parseTopicPattern(topic.pattern) as TopicPattern,
    layouts: topic.payload === 'json' && topic.fields === undefined ? createLayoutReader() : undefined,
  }))
  return (name, payload, receivedAtMs) => {
    const delivery = emptyDelivery(receivedAtMs)
    const refuse = (reason: string, detail: string) =>
      delivery.refusals.push({ device: '', reason, detail, original: payload, readingCount: 0 })
    for (const { topic, pattern, layouts } of patterns) {
      const match = matchTopic(pattern, name)
      if (!match) continue
      if (payload.length > PAYLOAD_BYTES_MAX)
        refuse('payload_too_large', `${name}: ${payload.length} bytes, at most ${PAYLOAD_BYTES_MAX} are read`)
      else {
        const before = delivery.samples.length + delivery.refusals.length
        const problem = readPayload(topic, match, payload, delivery, layouts)
        if (problem) refuse(problem.reason, `${name}: ${problem.detail}`)
        else if (delivery.samples.length + delivery.refusals.length === before)
          refuse('no_samples', `${name}: the list holds no sample`)
      }
      return delivery
    }
    refuse('unknown_topic', `${name} matches no pattern; the session at the broker may hold an old subscription`)
    return delivery
  }
}

type Problem = { readonly reason: string; readonly detail: string }

function readPayload(
  topic: TopicConfig,
  match: { device: string | undefined; field: string | undefined },
  payload: Uint8Array,
  delivery: Delivery,
  layouts: LayoutReader | undefined,
): Problem | undefined {
  const { device = topic.device } = match
  const { kind } = topic
  if (device !== undefined && kind !== undefined && layouts?.read(payload, device, kind, delivery)) return undefined
  const defaults = { device, kind }
  let text: string
  try {
    text = utf8.decode(payload)
  } catch {
    return { reason: 'not_utf8', detail: 'the payload is not valid UTF-8' }
  }
  if (topic.payload !== 'json') {
    const value = readPlainValue(topic.payload, text)
    if (typeof value === 'object') return value
    readSample({ [match.field ?? (topic.field as string)]: value }, defaults, delivery)
    return undefined
  }
  let parsed: unknown
  try {
    parsed = parseExactJson(text)
  } catch (error) {
    return { reason: 'not_json', detail: messageOf(error) }
  }
  for (const item of Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]) {
    const sample = topic.fields ? mapFields(item, topic.fields) : item
    // The topic says whose it is: a payload must not speak for another device.
    if (match.device !== undefined && isPlainObject(sample)) {
      const own = sample['device']
      if (own !== undefined && own !== null && own !== match.device) {
        const detail = `the topic says device "${match.device}", the payload ${toJson(own)}`
        const readingCount = Object.keys(sample).filter((key) => !['device', 'kind', 'time_ms'].includes(key)).length
        const original = Buffer.from(toJson(sample))
        delivery.refusals.push({ device: '', reason: 'device_mismatch', detail, original, readingCount })
        continue
      }
    }
    readSample(sample, defaults, delivery)
  }
  if (delivery.refusals.length === 0) layouts?.learn(text)
  return undefined
}

function readPlainValue(type: 'number' | 'boolean' | 'text', text: string): number | boolean | string | Problem {
  const trimmed = text.trim()
  if (type === 'text')
    return Buffer.byteLength(text) <= STRING_VALUE_BYTES_MAX
      ? text
      : { reason: 'string_too_long', detail: `${Buffer.byteLength(text)} bytes, at most ${STRING_VALUE_BYTES_MAX}` }
  if (type === 'boolean') {
    if (/^(true|1|on)$/i.test(trimmed)) return true
    if (/^(false|0|off)$/i.test(trimmed)) return false
    return { reason: 'not_a_boolean', detail: `"${trimmed.slice(0, 60)}" is not true, false, on, off, 1 or 0` }
  }
  const number = trimmed === '' || /^[+-]?0[xob]/i.test(trimmed) ? Number.NaN : Number(trimmed)
  if (Number.isFinite(number) && typeof exactNumber(trimmed.replace(/^\+/, '')) === 'bigint')
    return { reason: 'integer_too_large', detail: `${trimmed.slice(0, 60)} is beyond ±(2^53 - 1) and would be rounded` }
  return Number.isFinite(number) ? number : { reason: 'not_a_number', detail: `"${trimmed.slice(0, 60)}" is no number` }
}

/** Takes the mapped fields and nothing else; a path that leads nowhere gives no field. */
function mapFields(item: unknown, fields: Readonly<Record<string, string>>): unknown {
  if (!isPlainObject(item)) return item
  const mapped: Record<string, unknown> = {}
  for (const [field, path] of Object.entries(fields)) {
    let at: unknown = item
    for (const key of path.split('.')) at = isPlainObject(at) && Object.hasOwn(at, key) ? at[key] : undefined
    if (at !== undefined) mapped[field] = at
  }
  return mapped
}
