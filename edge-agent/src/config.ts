/** The agent's config file. What a person can get wrong is said with path and value, all at once. */
import { resolve } from 'node:path'
import { BATCH_BYTES_MAX, isName, NAME_RULE } from '@tributary/protocol'
import { byteSize, durationMs, hostPort, LOG_LEVELS } from '@tributary/runtime'
import { z } from 'zod'
import { mistakeInColumns } from './framings/csv.ts'
import { overlap, parseTopicPattern } from './inputs/topic-pattern.ts'
import { IDENTIFIER_RULE, isIdentifier } from './sample.ts'

/** Of the sync to the card, unless `batch.age` is shorter: then a quarter of that, for whoever wants batches so young wants them on their way. */
const DURABILITY_MS = 250
/** The spool keeps some, sent or not, and writes into another. */
const SEGMENTS_MIN = 4

const name = z.string().refine(isName, `must be a name: ${NAME_RULE}`)
const identifier = z.string().refine(isIdentifier, `must be ${IDENTIFIER_RULE}`)
const brokerUrl = z
  .string()
  .regex(
    /^(mqtt|mqtts|tcp|tls):\/\/(\[[0-9a-fA-F:]+\]|[^\s/:@]+)(:\d{1,5})?\/?$/,
    'must be like "mqtt://host:1883" or "mqtts://host:8883"',
  )
const file = z.string().min(1)
/** Less would keep the machine busy with nothing else. */
const pause = durationMs().refine((ms) => ms >= 100, 'must be at least "100ms"')
/** MQTT counts it in whole seconds. */
const keepalive = durationMs()
  .refine((ms) => ms >= 1_000 && ms <= 3_600_000, 'must be between "1s" and "1h"')
  .default(15_000)
const tls = z.strictObject({ ca: file.optional(), cert: file.optional(), key: file.optional() })
const oneSecret = (value: { password?: string | undefined; password_file?: string | undefined }) =>
  value.password === undefined || value.password_file === undefined
const ONE_SECRET = { message: 'give either "password" or "password_file"', path: ['password_file'] }

const framing = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('json-lines'), crc: z.boolean().default(false) }),
  z.strictObject({
    type: z.literal('csv'),
    crc: z.boolean().default(false),
    columns: z
      .array(z.string())
      .superRefine((columns, context) => {
        const mistake = mistakeInColumns(columns)
        if (mistake) context.addIssue({ code: 'custom', message: mistake })
      })
      .optional(),
  }),
  z.strictObject({
    type: z.literal('cobs'),
    crc: z.literal(true, 'cobs frames always carry a checksum').default(true),
  }),
])

const serialInput = z.strictObject({
  name,
  type: z.literal('serial'),
  /** Prefer `/dev/serial/by-id/…`: it stays the same when the cable is plugged elsewhere. */
  path: file,
  baud: z.int().min(50).max(10_000_000).default(115_200),
  framing,
  device: name.optional(),
  kind: identifier.optional(),
  /** Answer with ranges of sequences that are on disk. */
  acknowledge: z.boolean().default(false),
  /** Silent for this long although it is there: close and open again, in case the adapter hangs. */
  idle: pause.default(300_000),
  /** Leave DTR up at closing: a board that resets at its edge is not reset by opening again. */
  keep_dtr: z.boolean().default(true),
})

const topic = z
  .strictObject({
    pattern: z.string().superRefine((pattern, context) => {
      const parsed = parseTopicPattern(pattern)
      if ('mistake' in parsed) context.addIssue({ code: 'custom', message: parsed.mistake })
    }),
    kind: identifier.optional(),
    device: name.optional(),
    payload: z.enum(['json', 'number', 'boolean', 'text']).default('json'),
    /** For a payload that is one value, when the pattern has no `{field}`. */
    field: identifier.optional(),
    /** For JSON: field → where it stands, such as `temp.value`; `time_ms`, `device` and `kind` may be mapped too. */
    fields: z.record(identifier, z.string().min(1)).optional(),
  })
  .superRefine(({ pattern, payload, field, fields, device, kind }, context) => {
    const issue = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    const parsed = parseTopicPattern(pattern)
    if ('mistake' in parsed) return
    const named = parsed.levels.includes('{field}')
    if (payload === 'json' && (named || field !== undefined))
      issue(
        named ? 'pattern' : 'field',
        'a JSON payload names its fields itself; choose payload: number, boolean or text',
      )
    if (payload !== 'json' && named === (field !== undefined))
      issue('field', `payload: ${payload} needs either {field} in the pattern or "field"`)
    if (payload !== 'json' && fields !== undefined) issue('fields', `payload: ${payload} is one value, nothing to map`)
    if (parsed.levels.includes('{device}') && device !== undefined) issue('device', 'the pattern has {device} already')
    if (payload !== 'json' && device === undefined && !parsed.levels.includes('{device}'))
      issue('device', 'needs {device} in the pattern, or "device"')
    if (payload !== 'json' && kind === undefined) issue('kind', 'is needed: a plain value cannot name its kind')
  })

const mqttInput = z
  .strictObject({
    name,
    type: z.literal('mqtt'),
    url: brokerUrl,
    username: z.string().optional(),
    password: z.string().optional(),
    password_file: file.optional(),
    client_id: z.string().min(1).max(128).optional(),
    keepalive,
    tls: tls.optional(),
    topics: z
      .array(topic)
      .min(1)
      .max(100)
      .superRefine((topics, context) => {
        for (const [i, { pattern }] of topics.entries()) {
          const earlier = topics.findIndex((other, j) => j < i && overlap(other.pattern, pattern))
          if (earlier !== -1)
            context.addIssue({
              code: 'custom',
              path: [i, 'pattern'],
              message: `matches topics that topics[${earlier}] matches too; a broker would deliver those twice`,
            })
        }
      }),
  })
  .refine(oneSecret, ONE_SECRET)

const hostInput = z.strictObject({
  name,
  type: z.literal('host'),
  interval: pause.default(5_000),
  /** The file system whose space is told. */
  disk: file.default('/'),
})

export const agentConfigSchema = z.strictObject({
  agent: name,
  spool: z
    .strictObject({
      folder: file,
      budget: byteSize().default(1024 ** 3),
      segment: byteSize().default(8 * 1024 ** 2),
      /** How long appends may share one sync to the disk. Default: 250 ms, or a quarter of `batch.age` when that is shorter. */
      durability: durationMs().optional(),
      free_disk: byteSize().default(256 * 1024 ** 2),
      /** Kinds that are given up last when it is full. */
      keep_last: z.array(identifier).max(32).default(['agent_health', 'host']),
      /** How long batches are kept: until the gateway has them, or until they are in the store. */
      retain: z.enum(['acknowledged', 'stored']).default('acknowledged'),
    })
    .refine(({ segment }) => segment >= BATCH_BYTES_MAX * 2, {
      path: ['segment'],
      message: 'must be at least 2MiB: a segment holds two of the largest batches',
    })
    .refine(({ segment, budget }) => budget >= segment * SEGMENTS_MIN, {
      path: ['budget'],
      message: `must be at least ${SEGMENTS_MIN} segments`,
    }),
  batch: z
    .strictObject({
      age: durationMs().default(500),
      readings: z.int().min(1).max(50_000).default(1_000),
      /** How long a sample may be on its way to the agent before it counts as late. */
      lateness: durationMs().default(1_000),
    })
    .prefault({}),
  gateway: z
    .strictObject({
      url: brokerUrl,
      /** Default: the agent's name. */
      username: z.string().min(1).optional(),
      password: z.string().optional(),
      password_file: file.optional(),
      in_flight: z.int().min(1).max(1_000).default(16),
      keepalive,
      tls: tls.optional(),
    })
    .refine(oneSecret, ONE_SECRET),
  clock: z
    .strictObject({
      /** Whether this machine's own clock can be trusted; `auto` asks the kernel. */
      trusted: z.enum(['auto', 'always', 'never']).default('auto'),
      /** How long, connected to the gateway, readings wait for a clock that can be trusted. */
      hold: durationMs().default(60_000),
    })
    .prefault({}),
  admin: z.strictObject({ listen: hostPort() }).prefault({ listen: '127.0.0.1:9601' }),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default('info') }).prefault({}),
  inputs: z
    .array(z.discriminatedUnion('type', [serialInput, mqttInput, hostInput]))
    .min(1, 'must have at least one input')
    .superRefine((inputs, context) => {
      for (const [i, { name }] of inputs.entries())
        if (inputs.findIndex((other) => other.name === name) < i)
          context.addIssue({ code: 'custom', path: [i, 'name'], message: 'another input has this name' })
      const paths = inputs.map((input) => (input.type === 'serial' ? resolve(input.path) : undefined))
      for (const [i, path] of paths.entries()) {
        const earlier = path === undefined ? i : paths.indexOf(path)
        if (earlier < i)
          context.addIssue({
            code: 'custom',
            path: [i, 'path'],
            message: `is the port of input "${inputs[earlier]?.name}" already; one input reads a port`,
          })
      }
    }),
})

export const durabilityMs = ({ spool, batch }: AgentConfig): number =>
  spool.durability ?? (batch.age < DURABILITY_MS ? batch.age / 4 : DURABILITY_MS)

export type AgentConfig = z.infer<typeof agentConfigSchema>
export type InputConfig = AgentConfig['inputs'][number]
export type SerialInputConfig = z.infer<typeof serialInput>
export type MqttInputConfig = z.infer<typeof mqttInput>
export type HostInputConfig = z.infer<typeof hostInput>
export type TopicConfig = z.infer<typeof topic>
export type TlsConfig = z.infer<typeof tls>
