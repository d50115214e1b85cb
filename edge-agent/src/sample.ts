/**
 * What an input hands over: samples, and what it had to refuse. Nothing that came in vanishes here: a value that cannot be a
 * reading becomes a refusal with its reason, and the rest of its sample goes on.
 */
import { BLOCK_FIELDS_MAX, isName, NAME_BYTES_MAX, NAME_RULE, STRING_VALUE_BYTES_MAX } from '@tributary/protocol'
import { messageOf } from '@tributary/runtime'

export type FieldValue = number | boolean | string

export interface Sample {
  readonly device: string
  readonly kind: string
  /** The device's own time, milliseconds since 1970; undefined: the agent stamps the arrival. */
  readonly measuredAtMs: number | undefined
  /** The value of the field `sequence`, when it is a count. */
  readonly sequence: number | undefined
  /** Field names and, at the same places, values. */
  readonly names: readonly string[]
  readonly values: readonly FieldValue[]
}

/** Bytes, a sample or a value that was refused; it travels in the batch as an edge dead letter. */
export interface Refusal {
  readonly device: string
  readonly reason: string
  readonly detail: string
  readonly original: Uint8Array
  /** Readings known to be lost with it. */
  readonly readingCount: number
}

/** What one message, line or frame brought. */
export interface Delivery {
  readonly receivedAtMs: number
  readonly samples: Sample[]
  readonly refusals: Refusal[]
  /** Every sequence that could be read, of refused samples too: sending those again would not help. */
  readonly sequences: number[]
}

export const emptyDelivery = (receivedAtMs: number): Delivery => ({
  receivedAtMs,
  samples: [],
  refusals: [],
  sequences: [],
})

export interface SampleDefaults {
  readonly device: string | undefined
  readonly kind: string | undefined
}

/** Half a UTF-16 pair cannot be written as UTF-8: it would come back from the spool as another text. */
const LONE_SURROGATE = /\p{Surrogate}/gu

const IDENTIFIER = /^[a-z][a-z0-9_]*$/
export const IDENTIFIER_RULE = `a lower-case letter, then lower-case letters, digits and "_", at most ${NAME_BYTES_MAX} in all`
export const isIdentifier = (text: string): boolean => text.length <= NAME_BYTES_MAX && IDENTIFIER.test(text)

/** 2001-09-09 and 2100-01-01: a time outside is uptime, seconds or microseconds taken for milliseconds since 1970. */
const TIME_MS_MIN = 1e12
const TIME_MS_MAX = 4_102_444_800_000
export const isTimeMs = (timeMs: number): boolean => timeMs >= TIME_MS_MIN && timeMs <= TIME_MS_MAX

/** Reads one flat map of fields with the reserved keys `device`, `kind` and `time_ms`, and adds it to the delivery. */
export function readSample(value: unknown, defaults: SampleDefaults, delivery: Delivery): void {
  if (!isPlainObject(value)) {
    refuse(delivery, defaults.device ?? '', 'not_a_map', 'a sample must be a map of fields', value, 0)
    return
  }
  const { device: ownDevice, kind: ownKind, time_ms: ownTime } = value
  const names = fieldNamesOf(value)
  const sequence = readSequence(value['sequence'])
  if (sequence !== undefined) delivery.sequences.push(sequence)

  const device = ownDevice ?? defaults.device
  const kind = ownKind ?? defaults.kind
  const measuredAtMs = ownTime === null || ownTime === undefined ? undefined : (readNumber(ownTime) ?? Number.NaN)
  const mistake = mistakeIn(device, kind, measuredAtMs, names.length)
  if (mistake || typeof device !== 'string' || typeof kind !== 'string') {
    const known = typeof device === 'string' && isName(device) ? device : ''
    refuse(delivery, known, mistake?.reason ?? 'not_a_map', mistake?.detail ?? '', value, names.length)
    return
  }

  const values: FieldValue[] = []
  let kept = 0
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    const checked = isIdentifier(name)
      ? readValue(value[name])
      : { reason: 'bad_field_name', detail: `must be ${IDENTIFIER_RULE}` }
    if (typeof checked === 'object') {
      const original = { device, kind, time_ms: measuredAtMs, [name]: value[name] }
      refuse(delivery, device, checked.reason, `field "${abbreviate(name)}": ${checked.detail}`, original, 1)
    } else {
      names[kept++] = name
      values.push(checked)
    }
  }
  names.length = kept
  if (kept > 0)
    delivery.samples.push({
      device,
      kind,
      measuredAtMs: measuredAtMs === undefined ? undefined : Math.round(measuredAtMs),
      sequence,
      names,
      values,
    })
}

/** The reserved ones, and those without a value, are none. */
function fieldNamesOf(value: Record<string, unknown>): string[] {
  const names = Object.keys(value)
  let kept = 0
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string
    if (name === 'device' || name === 'kind' || name === 'time_ms') continue
    const field = value[name]
    if (field !== null && field !== undefined) names[kept++] = name
  }
  names.length = kept
  return names
}

/** What is wrong with a sample as a whole. */
function mistakeIn(
  device: unknown,
  kind: unknown,
  measuredAtMs: number | undefined,
  fieldCount: number,
): { reason: string; detail: string } | undefined {
  if (typeof device !== 'string' || !isName(device))
    return { reason: 'bad_device', detail: `device ${show(device)} must be a name: ${NAME_RULE}` }
  if (typeof kind !== 'string' || !isIdentifier(kind))
    return { reason: 'bad_kind', detail: `kind ${show(kind)} must be ${IDENTIFIER_RULE}` }
  if (measuredAtMs !== undefined && !isTimeMs(measuredAtMs))
    return { reason: 'bad_time', detail: 'time_ms must be milliseconds since 1970, after 2001 and before 2100' }
  if (fieldCount > BLOCK_FIELDS_MAX)
    return { reason: 'too_many_fields', detail: `${fieldCount} fields, at most ${BLOCK_FIELDS_MAX} are taken` }
  return fieldCount === 0 ? { reason: 'no_fields', detail: 'the sample has no field' } : undefined
}

function readValue(value: unknown): FieldValue | { reason: string; detail: string } {
  switch (typeof value) {
    case 'number':
      // Adding 0 turns -0, which no codec and no store keeps, into 0.
      return Number.isFinite(value) ? value + 0 : { reason: 'not_finite', detail: `${value} is no reading` }
    case 'bigint':
      return (
        readNumber(value) ?? {
          reason: 'integer_too_large',
          detail: `${value} is beyond ±(2^53 - 1) and would be rounded`,
        }
      )
    case 'boolean':
      return value
    case 'string':
      return Buffer.byteLength(value) <= STRING_VALUE_BYTES_MAX
        ? value.replace(LONE_SURROGATE, '\ufffd')
        : { reason: 'string_too_long', detail: `${Buffer.byteLength(value)} bytes, at most ${STRING_VALUE_BYTES_MAX}` }
    default:
      return {
        reason: 'nested_value',
        detail: 'lists and maps are no readings; send flat fields, or map them in the config',
      }
  }
}

/** A number, or a 64-bit integer that one can hold exactly; NaN for anything else where a number is a must. */
function readNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'bigint') return Number.NaN
  return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER ? Number(value) : undefined
}

function readSequence(value: unknown): number | undefined {
  const number = typeof value === 'number' || typeof value === 'bigint' ? readNumber(value) : undefined
  return number !== undefined && Number.isSafeInteger(number) && number >= 0 ? number + 0 : undefined
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array) &&
    !(value instanceof Date)
  )
}

function refuse(
  delivery: Delivery,
  device: string,
  reason: string,
  detail: string,
  original: unknown,
  readingCount: number,
): void {
  delivery.refusals.push({ device, reason, detail, original: Buffer.from(toJson(original)), readingCount })
}

/** Never throws: what parses may still be nested deeper than `JSON.stringify` goes. */
export function toJson(value: unknown): string {
  try {
    const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? item.toString() : item))
    return text ?? String(value)
  } catch (error) {
    return JSON.stringify(`(cannot be shown: ${messageOf(error)})`)
  }
}
const abbreviate = (text: string): string => (text.length > 60 ? `${text.slice(0, 57)}...` : text)
const show = (value: unknown): string => (value === undefined ? '(missing)' : abbreviate(toJson(value)))
