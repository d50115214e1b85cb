import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { contractSchema } from '@tributary/protocol'
import { ConfigError, createLogger, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { limitMistake } from './device-file.ts'
import { placementAt } from './device-record.ts'
import { createDeviceRegistry, type DeviceRegistry } from './device-registry.ts'

let folder: string
let file: string
const said: string[] = []
const log = createLogger('test', 'info', { write: (line: string) => void said.push(line) })
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-registry-'))
  file = join(folder, 'devices.yaml')
  said.length = 0
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const createRegistry = (path: string | undefined = file) =>
  createDeviceRegistry(
    { file: path, bucket: 'devices', copy: join(folder, 'state', 'registry.json') },
    { clock: systemClock, log },
  )
const siteOf = (registry: DeviceRegistry, device: string, { timeMs = 0, version = registry.version } = {}) =>
  placementAt(registry.find(device, version), timeMs)?.site

test('a file: devices with their history; what a version said it says for ever, after a restart, too', async () => {
  await writeFile(
    file,
    `devices:
  - { device: pump-1, site: hall, line: "2", name: Coolant pump }
  - { device: pump-1, site: yard, from: "2026-05-01T08:00:00Z" }
`,
  )
  const registry = createRegistry()
  await registry.load()
  const moved = Date.UTC(2026, 4, 1, 8)
  expect([moved - 1, moved].map((timeMs) => siteOf(registry, 'pump-1', { timeMs }))).toEqual(['hall', 'yard'])
  const before = registry.version
  await writeFile(file, 'devices:\n  - { device: pump-1, site: annex }\n  - { device: pump-2, site: annex }\n')
  const again = createRegistry()
  await again.load()
  expect(again.version).toEqual({ journal: before.journal, revision: before.revision + 1 })
  expect(siteOf(again, 'pump-1')).toBe('annex')
  expect(siteOf(again, 'pump-1', { version: before, timeMs: moved })).toBe('yard')
  expect(siteOf(again, 'pump-2', { version: before })).toBeUndefined()
  // Another journal's version says nothing: the newest is in force.
  expect(siteOf(again, 'pump-2', { version: { journal: 'other', revision: 0 } })).toBe('annex')
  // Nothing changed: nothing is new.
  const third = createRegistry()
  await third.load()
  expect(third.version).toEqual(again.version)
  expect(third.status()).toEqual({ devices: 2, revision: 2, bucket: 'not read' })
})

test('a damaged copy is said, and not used', async () => {
  await writeFile(file, 'devices: [{ device: pump-1, site: hall }]\n')
  await createRegistry().load()
  await writeFile(join(folder, 'state', 'registry.json'), '{"version":1,"journal":"x"')
  const registry = createRegistry()
  await registry.load()
  expect(siteOf(registry, 'pump-1')).toBe('hall')
  expect(said.join()).toContain('the copy of the device registry is damaged')
})

test.each([
  ['not there', undefined, /does not exist/],
  ['a device twice for one time', 'devices: [{ device: a }, { device: a }]', /listed twice/],
  ['a device whose name is none', 'devices: [{ device: "A b" }]', /devices\[0\]\.device/],
])('%s: a clear error', async (_, text, expected) => {
  if (text !== undefined) await writeFile(file, text)
  const error = await createRegistry()
    .load()
    .catch((e: unknown) => e)
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as ConfigError).message).toMatch(expected)
})

test('a limit must be of a field that detectors see', () => {
  const fields = {
    level: { type: 'float', label: 'Level' },
    state: { type: 'string', label: 'State' },
    pin: { type: 'integer', label: 'PIN', sensitivity: 'mask' },
  }
  const tank = contractSchema.parse({ kind: 'tank', version: 1, description: 'A tank.', interval: '1s', fields })
  const say = (field: string, kind?: string) =>
    limitMistake({ field, kind, above: 1, hysteresis: 0, severity: 'info' }, new Map([['tank', tank]]))
  expect([say('level'), say('level', 'tank')]).toEqual([undefined, undefined])
  for (const field of ['state', 'leevel', 'constructor']) expect(say(field)).toContain('no contract has a field')
  expect(say('level', 'door')).toContain('no contract for the kind "door"')
  expect(say('pin')).toContain('is sensitive')
})
