/** The streams and the bucket in NATS. */
import { JetStreamApiError, type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { CHECKPOINT_BUCKET, CHECKPOINT_STREAM, TELEMETRY_STREAM } from '@tributary/protocol'
import { messageOf, UserError } from '@tributary/runtime'
import { CHECKPOINT_STREAM_CONFIG } from './checkpoint-bucket.ts'
import type { ProcessorConfig } from './config.ts'
import { connectionOptions, STREAM_NOT_FOUND, STREAMS } from './nats.ts'
import { makeMissing, type Provision, type ProvisionOptions } from './provision.ts'

const CONNECT_MS = 5_000
/** What must be as we make it, or batches and checkpoints are not safe. Other sizes, ages and replicas are the owner's business. */
const COMPARED = ['subjects', 'retention', 'storage', 'discard'] as const
const COMPARED_OF: Readonly<Record<string, readonly ('max_age' | 'max_bytes')[]>> = {
  [TELEMETRY_STREAM]: ['max_age'],
  [CHECKPOINT_STREAM]: ['max_age', 'max_bytes'],
}

/** @param configPath paths in the config are relative to its folder */
export async function provisionNats(
  configPath: string,
  config: ProcessorConfig,
  { dryRun, signal }: ProvisionOptions,
  note: (one: Provision) => void,
): Promise<void> {
  const { url } = config.nats
  const fail = (error: unknown, hint: string): never => {
    throw new UserError(`NATS at ${url}: ${messageOf(error)}`, { cause: error, hint })
  }
  const connection = await connectionOptions(configPath, config)
    .then((options) => connect({ ...options, reconnect: false, timeout: CONNECT_MS }))
    .catch((error: unknown) => fail(error, 'check nats in the config: url, user, password, token, credentials_file'))
  try {
    const manager = await jetstreamManager(connection).catch((error: unknown) =>
      fail(error, 'start nats-server with JetStream (`jetstream {}` in its config), and allow it to the account'),
    )
    const streams = config.checkpoint.folder === undefined ? [...STREAMS, CHECKPOINT_STREAM_CONFIG] : STREAMS
    for (const wanted of streams) {
      signal.throwIfAborted()
      const bucket = wanted.name === CHECKPOINT_STREAM
      const found = await findStream(manager, wanted.name).catch((error: unknown) =>
        fail(error, `allow the account of the processor what it needs of JetStream ($JS.API.>)`),
      )
      note(
        await makeMissing(
          { place: 'nats', what: bucket ? 'KV bucket' : 'stream', name: bucket ? CHECKPOINT_BUCKET : wanted.name },
          {
            exists: found !== undefined,
            difference: found && differenceOf(found, wanted),
            dryRun,
            make: async () => {
              await manager.streams
                .add(wanted)
                .catch((error: unknown) => fail(error, `make room for ${wanted.name} (max_file_store), or allow it`))
            },
          },
        ),
      )
    }
  } finally {
    await connection.close()
  }
}

async function findStream(manager: JetStreamManager, name: string): Promise<StreamConfig | undefined> {
  try {
    return (await manager.streams.info(name)).config
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return undefined
    throw error
  }
}

function differenceOf(found: StreamConfig, wanted: Partial<StreamConfig>): string {
  const differing = [...COMPARED, ...(COMPARED_OF[found.name] ?? [])].filter(
    (key) => String(found[key]) !== String(wanted[key]),
  )
  if (differing.length === 0) return ''
  const how = differing.map((key) => `${key} is ${String(found[key])}, not ${String(wanted[key])}`).join('; ')
  return `${how}: delete it when it is empty and run this again, or \`nats stream edit ${found.name}\``
}
