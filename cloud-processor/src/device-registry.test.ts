import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, createLogger, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createDeviceRegistry } from './device-registry.ts'

let folder: string
let file: string
const said: string[] = []
const log = createLogger('test', 'info', { write: (line: string) => void said.push(line) })
const stopping = new AbortController()
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-registry-'))
  file = join(folder, 'devices.yaml')
  said.length = 0
})
afterEach(() => rm(folder, { recursive: true, force: true }))
const until = async (check: () => boolean) => {
  for (let i = 0; i < 500 && !check(); i++) await systemClock.sleep(10)
  expect(check()).toBe(true)
}

test('reads the file, reads it again when it changes, and keeps what it has while it is wrong', async () => {
  await writeFile(file, 'devices:\n  - { device: pump-1, site: hall, line: "2", name: Coolant pump }\n')
  const registry = createDeviceRegistry(file, { clock: systemClock, log, checkEveryMs: 10 })
  await registry.load()
  expect(registry.find('pump-1')).toEqual({
    device: 'pump-1',
    site: 'hall',
    line: '2',
    name: 'Coolant pump',
    location: '',
  })
  expect(registry.find('pump-2')).toBeUndefined()
  const watching = registry.watch(stopping.signal)
  await writeFile(file, 'devices:\n  - { device: pump-1 }\n  - { device: pump-2, sight: hall }\n')
  await until(() => said.some((line) => line.includes('devices[1].sight')))
  expect(registry.find('pump-1')?.site).toBe('hall')
  await writeFile(file, 'devices:\n  - { device: pump-1 }\n  - { device: pump-2, site: annex }\n')
  await until(() => registry.find('pump-2')?.site === 'annex')
  expect(registry.find('pump-1')?.site).toBeUndefined()
  stopping.abort()
  await watching
})

test.each([
  ['not there', undefined, /does not exist/],
  ['a device twice', 'devices: [{ device: a }, { device: a }]', /listed twice/],
  ['a device whose name is none', 'devices: [{ device: "A b" }]', /devices\[0\]\.device/],
])('%s: a clear error', async (_, text, expected) => {
  if (text !== undefined) await writeFile(file, text)
  const error = await createDeviceRegistry(file, { clock: systemClock, log })
    .load()
    .catch((e: unknown) => e)
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as ConfigError).message).toMatch(expected)
})
