import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { freePort } from './free-port.ts'
import { createManagedProcess, type ManagedProcess } from './managed-process.ts'
import { accepts, createNatsServer } from './nats-server.ts'
import { findServer } from './servers.ts'

let running: ManagedProcess | undefined
afterEach(async () => {
  await running?.kill()
})
const folder = () => mkdtemp(join(tmpdir(), 'tributary-process-'))

describe('a managed process', () => {
  test('starts, is killed, starts again', async () => {
    const port = await freePort()
    const nats = await createNatsServer(await findServer('nats-server'), await folder(), port)
    running = nats
    await nats.start()
    const first = nats.pid
    expect(await accepts(port)).toBe(true)
    expect(await nats.rssBytes()).toBeGreaterThan(1_000_000)
    await nats.kill('SIGKILL')
    expect(nats.running).toBe(false)
    expect(await accepts(port)).toBe(false)
    await nats.start()
    expect(nats.pid).not.toBe(first)
    await nats.stop()
    expect(nats.pid).toBeUndefined()
  })

  test('says the end of the log when the process ends instead of getting ready', async () => {
    const logFile = join(await folder(), 'log')
    running = createManagedProcess({
      name: 'broken',
      program: process.execPath,
      arguments: ['-e', 'console.error("the port is taken"); process.exit(3)'],
      logFile,
      isReady: async () => false,
    })
    await expect(running.start()).rejects.toThrow(/broken ended with code 3:\nthe port is taken/)
  })

  test('a program that does not exist is an error, not a hang', async () => {
    const logFile = join(await folder(), 'log')
    running = createManagedProcess({
      name: 'absent',
      program: '/nonexistent/program',
      arguments: [],
      logFile,
      isReady: async () => false,
    })
    await expect(running.start()).rejects.toThrow(/absent ended with code 127/)
  })

  test('one that ignores SIGTERM is killed after its grace', async () => {
    const logFile = join(await folder(), 'log')
    running = createManagedProcess({
      name: 'stubborn',
      program: process.execPath,
      arguments: ['-e', "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')"],
      logFile,
      isReady: async () =>
        (await import('node:fs/promises')).readFile(logFile, 'utf8').then((text) => text.includes('up')),
    })
    await running.start()
    await running.stop(200)
    expect(running.running).toBe(false)
  })
})
