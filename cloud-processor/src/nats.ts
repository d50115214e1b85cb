/** The connection to NATS, and the two streams that the processor needs. */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream'
import { connect, credsAuthenticator, type NatsConnection, type NodeConnectionOptions } from '@nats-io/transport-node'
import { DEAD_LETTER_STREAM, DEAD_LETTER_SUBJECTS, TELEMETRY_STREAM, TELEMETRY_SUBJECTS } from '@tributary/protocol'
import type { ProcessorConfig } from './config.ts'

const GIB = 1024 ** 3
export const STREAM_NOT_FOUND = 10059

/** Waits for the first connection for ever, and comes back for ever. */
export async function connectNats(configPath: string, config: ProcessorConfig): Promise<NatsConnection> {
  return connect({
    ...(await connectionOptions(configPath, config)),
    maxReconnectAttempts: -1,
    reconnectTimeWait: 500,
    pingInterval: 10_000,
    maxPingOut: 2,
  })
}

/** Where, and who we are. @param configPath paths in the config are relative to its folder */
export async function connectionOptions(
  configPath: string,
  { nats, processor }: ProcessorConfig,
): Promise<NodeConnectionOptions> {
  const at = (path: string) => resolve(dirname(configPath), path)
  const { url, user, password, token, credentials_file, tls_ca_file } = nats
  return {
    servers: url,
    name: processor,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { pass: password }),
    ...(token === undefined ? {} : { token }),
    ...(credentials_file === undefined
      ? {}
      : { authenticator: credsAuthenticator(await readFile(at(credentials_file))) }),
    ...(tls_ca_file === undefined ? {} : { tls: { caFile: at(tls_ca_file) } }),
  }
}

export const STREAMS: readonly (Partial<StreamConfig> & { name: string })[] = [
  {
    name: TELEMETRY_STREAM,
    subjects: [TELEMETRY_SUBJECTS],
    storage: StorageType.File,
    retention: RetentionPolicy.Workqueue,
    discard: DiscardPolicy.New,
    max_bytes: 2 * GIB,
    max_age: 0,
  },
  {
    name: DEAD_LETTER_STREAM,
    subjects: [DEAD_LETTER_SUBJECTS],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_bytes: GIB / 2,
  },
]

/** Makes the streams that are missing; one that is there stays as somebody made it. */
export async function ensureStreams(manager: JetStreamManager): Promise<void> {
  for (const stream of STREAMS) {
    try {
      await manager.streams.info(stream.name)
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== STREAM_NOT_FOUND) throw error
      await manager.streams.add(stream)
    }
  }
}
