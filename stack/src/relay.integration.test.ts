/** The relay against real sockets: what an end sees of a link that is up, down or half-open. */
import { once } from 'node:events'
import { type AddressInfo, connect as connectTo, createServer, type Server, type Socket } from 'node:net'
import { systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePort } from './free-port.ts'
import { createRelay, type Relay } from './relay.ts'

let echo: Server
let relay: Relay
const open: Socket[] = []
const served: Socket[] = []

beforeEach(async () => {
  echo = createServer((socket) => {
    served.push(socket)
    socket.on('error', () => undefined)
    socket.pipe(socket)
  })
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  relay = createRelay('echo', await freePort())
  await relay.start((echo.address() as AddressInfo).port)
})
afterEach(async () => {
  for (const socket of [...open.splice(0), ...served.splice(0)]) socket.destroy()
  await relay.stop()
  await new Promise((resolve) => echo.close(resolve))
})

const connect = async (): Promise<{ socket: Socket; heard: () => string }> => {
  const socket = connectTo(relay.port, '127.0.0.1')
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes
  })
  socket.on('error', () => undefined)
  open.push(socket)
  await once(socket, 'connect')
  return { socket, heard: () => text }
}
const until = async (condition: () => boolean, what: string) => {
  for (const endMs = systemClock.monotonicMs() + 5_000; !condition(); await systemClock.sleep(10))
    if (systemClock.monotonicMs() > endMs) throw new Error(`not within 5 s: ${what}`)
}

test('up: what is sent arrives, megabytes too, and an end that closes closes the other', async () => {
  const { socket, heard } = await connect()
  const much = 'x'.repeat(4 * 1024 * 1024)
  socket.write(much)
  await until(() => heard().length === much.length, 'all of it comes back')
  socket.end()
  await until(() => served[0]?.destroyed === true && relay.connections === 0, 'the other end is closed')
})

test('down: connections end, new ones are refused, and later ones work', async () => {
  const before = await connect()
  relay.set('down')
  await until(() => before.socket.destroyed, 'the connection ends')
  const refused = connectTo(relay.port, '127.0.0.1')
  open.push(refused)
  refused.on('error', () => undefined)
  await until(() => refused.destroyed, 'it is refused')
  relay.set('up')
  const after = await connect()
  after.socket.write('hello')
  await until(() => after.heard() === 'hello', 'it passes again')
})

test('half-open: nothing passes, nobody is told, and what was connected then stays dead', async () => {
  const before = await connect()
  before.socket.write('one')
  await until(() => before.heard() === 'one', 'it passes first')
  relay.set('half-open')
  const during = await connect()
  before.socket.write('two')
  during.socket.write('three')
  await systemClock.sleep(300)
  relay.set('up')
  before.socket.write('four')
  const after = await connect()
  after.socket.write('five')
  await until(() => after.heard() === 'five', 'a new connection passes')
  expect(before.heard()).toBe('one')
  expect(during.heard()).toBe('')
  expect([before.socket.destroyed, during.socket.destroyed, served[0]?.destroyed]).toEqual([false, false, false])
  // Not even the end of the one reaches the other.
  before.socket.destroy()
  await systemClock.sleep(200)
  expect(served[0]?.destroyed).toBe(false)
})
