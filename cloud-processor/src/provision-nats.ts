/** The streams and the bucket in NATS. */
import { JetStreamApiError, type JetStreamManager, jetstreamManager, type StreamConfig } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { CHECKPOINT_BUCKET, CHECKPOINT_STREAM } from '@tributary/protocol'
import { messageOf, UserError } from '@tributary/runtime'
import { CHECKPOINT_STREAM_CONFIG } from './checkpoint-bucket.ts'
import type { ProcessorConfig } from './config.ts'
import { connectionOptions, STREAM_NOT_FOUND, STREAMS } from './nats.ts'
import { makeMissing, type Provision, type ProvisionOptions } from './provision.ts'

const CONNECT_MS = 5_000
/** What must be as we make it, or batches and checkpoints are not safe. Sizes and replicas are the owner's business. */
const COMPARED = ['subjects', 'retention', 'storage', 'discard'] as const

export async function provisionNats(
  config: ProcessorConfig,
  { dryRun }: ProvisionOptions,
  note: (one: Provision) => void,
): Promise<void> {
  const { url } = config.nats
  const fail = (error: unknown, hint: string): never => {
    throw new UserError(`NATS at ${url}: ${messageOf(error)}`, { cause: error, hint })
  }
  const connection = await connect({
    ...(await connectionOptions(config)),
    reconnect: false,
    timeout: CONNECT_MS,
  }).catch((error: unknown) => fail(error, 'check nats in the config: url, user, password, token, credentials_file'))
  try {
    const manager = await jetstreamManager(connection).catch((error: unknown) =>
      fail(error, 'start nats-server with JetStream (`jetstream {}` in its config), and allow it to the account'),
    )
    const streams = config.checkpoint.folder === undefined ? [...STREAMS, CHECKPOINT_STREAM_CONFIG] : STREAMS
    for (const wanted of streams) {
      const bucket = wanted.name === CHECKPOINT_STREAM
      const found = await findStream(manager, wanted.name)
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
  const differing = COMPARED.filter((key) => String(found[key]) !== String(wanted[key]))
  if (differing.length === 0) return ''
  const how = differing.map((key) => `${key} is ${String(found[key])}, not ${String(wanted[key])}`).join('; ')
  return `${how}: delete it when it is empty and run this again, or \`nats stream edit ${found.name}\``
}
