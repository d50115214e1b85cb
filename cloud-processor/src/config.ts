/** The processor's config: what a person writes in `processor.yaml`. Relative paths are taken from the folder of that file. */
import { isName, NAME_RULE, PARTITION_COUNT } from '@tributary/protocol'
import { durationMs, hostPort, LOG_LEVELS } from '@tributary/runtime'
import { z } from 'zod'
import { DEVICE_BUCKET } from './device-bucket.ts'
import { dashboardUrlSchema, notifiersSchema } from './notifiers/index.ts'

const name = () => z.string().refine(isName, NAME_RULE)
/** A shorter key could be guessed. */
export const HASH_KEY_CHARACTERS_MIN = 16
export const HASH_KEY_RULE = `must have at least ${HASH_KEY_CHARACTERS_MIN} characters`
const path = () => z.string().min(1, 'must be a path')

/** `0-15`, `3`, `0-3,8` → [0, 1, 2, 3, 8]. */
export const partitions = () =>
  z
    .union([z.string(), z.int().transform(String)])
    .refine((text) => /^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text), 'must be partitions such as "0-15" or "0-3,8"')
    .transform((text) =>
      [
        ...new Set(
          text.split(',').flatMap((part) => {
            const [from, to = from] = part.split('-').map(Number) as [number, number?]
            return Array.from({ length: Math.max(0, Math.min(to, PARTITION_COUNT) - from + 1) }, (_, i) => from + i)
          }),
        ),
      ].sort((a, b) => a - b),
    )
    .refine(
      (all) => all.length > 0 && all.every((n) => n < PARTITION_COUNT),
      `must lie between 0 and ${PARTITION_COUNT - 1}, the lower one first`,
    )

export const processorConfigSchema = z.strictObject({
  /** Its name: in its health, its logs, and as the agent that reports its health. */
  processor: name(),
  /** The site under which its own health is filed. */
  site: name().default('cloud'),
  nats: z.strictObject({
    /** One server, or several of a cluster. */
    url: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
      error: 'must be an address such as "nats://127.0.0.1:4222", or a list of them',
    }),
    user: z.string().optional(),
    password: z.string().optional(),
    token: z.string().optional(),
    /** A `.creds` file. */
    credentials_file: path().optional(),
    /** Certificate authority for `tls://`. */
    tls_ca_file: path().optional(),
  }),
  influx: z
    .strictObject({
      url: z.url({ protocol: /^https?$/, error: 'must be an http or https address' }),
      /** `auto` asks the server. 2 means 2.x, as 1 and 3 do. */
      version: z
        .preprocess((one) => (typeof one === 'number' ? String(one) : one), z.enum(['auto', '1', '2', '3']))
        .default('auto'),
      database: z.string().min(1).default('tributary'),
      /** 1.x. */
      username: z.string().optional(),
      password: z.string().optional(),
      /** 2.x and 3. */
      token: z.string().optional(),
      /** 2.x. */
      org: z.string().optional(),
      timeout: durationMs().prefault('30s'),
      lines_per_request: z.int().min(100).max(50_000).default(5_000),
      /** How long windows are kept, as InfluxDB writes durations; for ever when absent. Not for 3. */
      rollup_retention: z
        .string()
        .regex(/^\d+(m|h|d|w)$/, 'must be a duration such as "90d"')
        .optional(),
    })
    .superRefine(({ version, token, org }, { addIssue }) => {
      if (version !== '2') return
      for (const [key, value] of Object.entries({ token, org }))
        if (!value) addIssue({ code: 'custom', path: [key], message: 'is needed by InfluxDB 2.x' })
    }),
  /** What this processor works on; several share a stream by it. */
  partitions: partitions().prefault('0-15'),
  /** Folder of contracts, one YAML file a kind. */
  contracts: path(),
  /** Device registry: a KV bucket of JetStream, which `tributary device` edits. */
  registry_bucket: z
    .string()
    .regex(/^[\w-]+$/, 'must be letters, digits, "_" and "-"')
    .default(DEVICE_BUCKET),
  /** A YAML file of devices; what the bucket says of one comes before what the file says. */
  registry: path().optional(),
  /** Folder of the copy of the registry, where the checkpoint has no folder. */
  registry_copy: path().default('state'),
  /** Alert rules, a YAML file. */
  alerts: path().optional(),
  notifiers: notifiersSchema,
  /** Grafana or the viewer: where links in notifications lead. */
  dashboard_url: dashboardUrlSchema,
  /** For fields that contracts call sensitive. */
  sensitive: z
    .strictObject({
      /** For `hash`: whoever has it can find out what was hashed, and the same value has the same hash as long as it stays. */
      hash_key: z.string().min(HASH_KEY_CHARACTERS_MIN, HASH_KEY_RULE).optional(),
      /** A file that holds it and nothing else. */
      hash_key_file: path().optional(),
      /** Keep lines and batches that nobody could read in dead letters, although they may hold sensitive values. */
      keep_originals: z.boolean().default(false),
    })
    .refine((one) => one.hash_key === undefined || one.hash_key_file === undefined, {
      error: 'give hash_key or hash_key_file, not both',
    })
    .prefault({}),
  checkpoint: z
    .strictObject({
      /** Where the state is kept; without a folder in a KV bucket of NATS, so that any machine can take partitions over. */
      folder: path().optional(),
      interval: durationMs().prefault('500ms'),
    })
    .prefault({}),
  windows: z
    .strictObject({
      /** How long closed windows are kept for late readings: of devices that delivered late within the last hour. */
      memory: durationMs().prefault('10m'),
      /** And of all others; what comes later than that has its windows recomputed from the store. */
      punctual_memory: durationMs().prefault('1m'),
    })
    .prefault({}),
  gaps: z
    .strictObject({
      /** A gap in an agent's sequences counts as missing when it has been open for so long. */
      missing_after: durationMs().prefault('10m'),
      /** A gap is asked for at the gateway when it has been open for so long, and again with growing delays. */
      resend_after: durationMs().prefault('5s'),
    })
    .prefault({}),
  repair: z
    .strictObject({
      /** A window that was made dirty is recomputed when nothing has made it dirty again for so long. */
      rest: durationMs().prefault('10s'),
      /** Part of the time in which the database may be busy with that. */
      share: z.number().min(0.001).max(0.5).default(0.1),
    })
    .prefault({}),
  /** What is there is taken together for four times as long as the last write took, and at most this long, so that the database gets few large writes. */
  linger: durationMs().prefault('100ms'),
  admin: z.strictObject({ listen: hostPort().prefault('127.0.0.1:9603') }).prefault({}),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).default('info') }).prefault({}),
})

export type ProcessorConfig = z.infer<typeof processorConfigSchema>
