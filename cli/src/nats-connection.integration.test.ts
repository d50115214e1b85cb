import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readDeadLetters } from '@tributary/cloud-processor'
import { UserError } from '@tributary/runtime'
import { createNatsServer, findServer, freePort, type ManagedProcess } from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { withNats } from './nats-connection.ts'

let folder: string
let nats: ManagedProcess & { url: string }

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-connection-'))
  nats = await createNatsServer(await findServer('nats-server'), folder, await freePort())
})
afterAll(() => rm(folder, { recursive: true }))

/** Connects, does something to the server, and asks for the dead letters. */
async function ask(meanwhile: () => Promise<unknown>): Promise<unknown> {
  await nats.start()
  const answer = withNats(nats.url, async (connection) => {
    await meanwhile()
    for await (const _ of readDeadLetters(connection));
  })
  return answer.catch((error: unknown) => error).finally(() => nats.kill('SIGKILL'))
}

test('a server that falls silent in the middle, or goes away, is named with what to do', async () => {
  const silent = await ask(() => nats.kill('SIGSTOP'))
  expect(silent).toBeInstanceOf(UserError)
  expect((silent as UserError).message).toBe(`the NATS server at ${nats.url} does not answer any more (timeout)`)
  expect((silent as UserError).hint).toContain('run this again')
  const gone = await ask(() => nats.kill('SIGKILL'))
  expect(gone).toBeInstanceOf(UserError)
  expect((gone as UserError).message).toContain(`the NATS server at ${nats.url} does not answer any more`)
})

test('what is wrong with the work itself is told as it is', async () => {
  await nats.start()
  const mistake = new Error('no such letter')
  await expect(withNats(nats.url, () => Promise.reject(mistake))).rejects.toBe(mistake)
  await nats.stop()
})
