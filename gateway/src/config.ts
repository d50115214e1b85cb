/** The gateway's config: what a person writes in `gateway.yaml`. Relative paths are taken from the folder of that file. */
import { strict as assert } from 'node:assert'
import { BATCH_BYTES_MAX, isName, NAME_RULE } from '@tributary/protocol'
import { byteSize, durationMs, hostPort, LOG_LEVELS } from '@tributary/runtime'
import { z } from 'zod'
import { siteViewSchema } from './site-view-config.ts'

const MIB = 1024 * 1024
/** An MQTT packet is a batch and some bytes of topic. */
export const PACKET_BYTES_MIN = BATCH_BYTES_MAX + 1024
/** PUBLISH packets of one client that may be unacknowledged. */
export const CLIENT_PACKETS_IN_FLIGHT_MAX = 64
/** Bytes of all clients' unacknowledged PUBLISH packets. */
export const INGEST_BYTES_MAX = 64 * MIB
/** Bytes that are on their way to JetStream. */
export const FORWARD_BYTES_MAX = 16 * MIB
export const SEGMENT_BYTES_MIN = 4 * MIB

const name = () => z.string().refine(isName, NAME_RULE)
const path = () => z.string().min(1, 'must be a path')
const size = (minimum: number, said: string) =>
  byteSize().refine((bytes) => bytes >= minimum, `must be at least ${said}`)

export const gatewayConfigSchema = z
  .strictObject({
    gateway: name(),
    site: name(),
    mqtt: z.strictObject({
      listen: hostPort().prefault('0.0.0.0:1883'),
      clients_max: z.int().min(1).max(10_000).default(256),
      packet_bytes_max: size(PACKET_BYTES_MIN, '1025KiB, a batch and its topic').prefault('1100KiB'),
      tls: z.strictObject({ cert: path(), key: path() }).optional(),
    }),
    /** Lines `agent:scrypt$N$r$p$salt$hash`; `tributary gateway passwd FILE AGENT` writes them. */
    credentials_file: path(),
    nats: z.strictObject({
      /** One server, or several of a cluster. */
      url: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
      user: z.string().optional(),
      password: z.string().optional(),
      token: z.string().optional(),
      /** A `.creds` file. */
      credentials_file: path().optional(),
      /** Certificate authority for `tls://`. */
      tls_ca_file: path().optional(),
      in_flight: z.int().min(1).max(512).default(64),
    }),
    stream: z
      .strictObject({
        max_bytes: size(16 * MIB, '16MiB').prefault('2GiB'),
        replicas: z.int().min(1).max(5).default(1),
      })
      .prefault({}),
    spool: z.strictObject({
      folder: path(),
      budget: size(16 * MIB, '16MiB').prefault('4GiB'),
      segment: size(SEGMENT_BYTES_MIN, '4MiB').prefault('16MiB'),
      /** Appends within this time share one fsync; 0: as soon as the disk is free. */
      durability: durationMs().prefault('0ms'),
      free_disk: byteSize().prefault('512MiB'),
      /** How often what is in the store is let go of. */
      trim_every: durationMs()
        .refine((ms) => ms >= 100, 'must be at least 100ms')
        .prefault('5s'),
    }),
    /** Whether agents may set their times by this gateway's clock; `auto` asks the kernel. */
    clock: z.strictObject({ trusted: z.enum(['auto', 'always', 'never']).default('auto') }).prefault({}),
    admin: z.strictObject({ listen: hostPort().prefault('127.0.0.1:9602') }).prefault({}),
    health: z
      .strictObject({
        interval: durationMs()
          .refine((ms) => ms >= 1_000, 'must be at least 1s')
          .prefault('10s'),
      })
      .prefault({}),
    site_view: siteViewSchema.optional(),
    log: z.strictObject({ level: z.enum(LOG_LEVELS).default('info') }).prefault({}),
  })
  .refine((config) => config.spool.segment * 4 <= config.spool.budget, {
    path: ['spool', 'segment'],
    message: 'the budget must hold at least four segments',
  })
  .refine((config) => config.nats.user === undefined || config.nats.token === undefined, {
    path: ['nats', 'token'],
    message: 'give either a user with a password or a token',
  })

export type GatewayConfig = z.infer<typeof gatewayConfigSchema>

assert(SEGMENT_BYTES_MIN >= BATCH_BYTES_MAX * 2, 'a segment holds at least two batches')
assert(INGEST_BYTES_MAX >= BATCH_BYTES_MAX * 16, 'several clients can send their largest batch at once')
assert(FORWARD_BYTES_MAX <= 32 * MIB, "stays under what a consumer's window can take")
