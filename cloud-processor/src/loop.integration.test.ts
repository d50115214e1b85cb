/** The loop with its checkpoint in a real nats-server: struck at every message to it, too. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { CHECKPOINT_STREAM } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll } from 'vitest'
import { type CheckpointBucket, createCheckpointBucket } from './checkpoint-bucket.ts'
import { createJetStreamCheckpointStore } from './jetstream-checkpoint.ts'
import { loopConformance } from './loop.conformance.ts'
import { createWorld, log, type OpenCheckpoints, PARTITION } from './loop-harness.ts'

let folder: string
let nats: ManagedProcess & { url: string }
let connection: NatsConnection
let manager: JetStreamManager
let bucket: CheckpointBucket

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-loop-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  await nats.start()
  connection = await connect({ servers: nats.url })
  manager = await jetstreamManager(connection)
  bucket = createCheckpointBucket(PARTITION, { client: jetstream(connection), manager })
})
afterAll(async () => {
  await connection?.close()
  await nats?.stop()
  await rm(folder, { recursive: true, force: true })
})

const inNats: OpenCheckpoints = (_, owner, operation) => {
  const on: CheckpointBucket = {
    get: (key) => operation('read', () => bucket.get(key)),
    getPiece: (key) => operation('read', () => bucket.getPiece(key)),
    getBefore: (key, sequence) => operation('read', () => bucket.getBefore(key, sequence)),
    put: (key, bytes, expected) =>
      operation(key[0] === 'head' ? 'head' : 'piece', () => bucket.put(key, bytes, expected)),
    generations: () => operation('list', () => bucket.generations()),
    remove: (generation) => operation('remove', () => bucket.remove(generation)),
  }
  return createJetStreamCheckpointStore(on, PARTITION, { owner, clock: systemClock, log })
}

loopConformance(async (strikeAt) => {
  await manager.streams.delete(CHECKPOINT_STREAM).catch(() => undefined)
  return createWorld(strikeAt, { openCheckpoints: inNats })
})
