/** The queue of dead letters in the stream of a real nats-server: what is in it, and what is not any more. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { type DeadLetter, deadLetterSubject, type LetterSettlement, settledSubject } from '@tributary/protocol'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { findSettlement, readDeadLetters } from './dead-letter-queue.ts'
import { ensureStreams } from './nats.ts'

let folder: string
let nats: ManagedProcess & { url: string }
let connection: NatsConnection

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-queue-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
  await nats.start()
  connection = await connect({ servers: nats.url })
})
afterAll(async () => {
  await connection?.close()
  await nats?.stop()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  const manager = await jetstreamManager(connection)
  await ensureStreams(manager)
  await manager.streams.purge('DEADLETTER')
})

const idOf = (name: string) => `agent-a/0123456789abcdef/1/${name}`
const refused = (name: string, requeued?: number) =>
  publish(deadLetterSubject('contract', 'agent-a'), {
    id: idOf(name),
    reason: 'out_of_range',
    ...(requeued === undefined ? {} : { requeued }),
  } as DeadLetter)
const answered = (name: string, requeued: number, outcome: LetterSettlement['outcome']) =>
  publish(settledSubject('agent-a'), { id: idOf(name), requeued, request: 'r', outcome } as LetterSettlement)
const publish = (subject: string, value: object) =>
  jetstream(connection).publish(subject, Buffer.from(JSON.stringify(value)))
const queue = async (filter = {}) => {
  const found: string[] = []
  for await (const { id, requeued = 0 } of readDeadLetters(connection, filter))
    found.push(`${id.split('/').at(-1)}#${requeued}`)
  return found
}

test('what was answered is out, what was refused again is in anew, what was left unchanged stays', async () => {
  expect(await queue()).toEqual([])
  for (const name of ['c0', 'c1', 'c2', 'c3', 'c3']) await refused(name)
  await refused('c1', 1)
  await answered('c1', 0, 'refused')
  await answered('c0', 0, 'stored')
  await answered('c0', 0, 'settled_before')
  await answered('c2', 0, 'dropped')
  await answered('c3', 0, 'unchanged')
  await publish('deadletter.v1.settled.agent-a', {})
  await publish('deadletter.v1.contract.agent-a', { is: 'none of ours' })
  expect(await queue()).toEqual(['c3#0', 'c1#1'])
  expect(await queue({ dropped: true })).toEqual(['c2#0', 'c3#0', 'c1#1'])
  expect(await queue({ agent: 'agent-b' })).toEqual([])
  expect(await findSettlement(connection, idOf('c0'))).toMatchObject({ outcome: 'stored' })
  expect(await findSettlement(connection, idOf('c3'))).toBeUndefined()
})

test('a letter that is made anew because a state was lost is in the queue again, whatever became of it before', async () => {
  await refused('c0')
  await refused('c0', 1)
  await answered('c0', 0, 'refused')
  await answered('c0', 1, 'stored')
  expect(await queue()).toEqual([])
  await refused('c0')
  expect(await queue()).toEqual(['c0#0'])
  await refused('c0', 1)
  await answered('c0', 0, 'refused')
  expect(await queue()).toEqual(['c0#1'])
  await answered('c0', 1, 'stored')
  expect(await queue()).toEqual([])
})
