import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { ConfigError, parseConfig, VERSION } from '@tributary/runtime'
import { describe, expect, test } from 'vitest'
import { type AgentConfig, agentConfigSchema, durabilityMs } from './config.ts'

const parse = (text: string, environment: Record<string, string> = {}): AgentConfig =>
  parseConfig('agent.yaml', text, agentConfigSchema, environment)
const mistakes = (text: string): string[] => {
  try {
    parse(text)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.mistakes.map(({ path, message, line }) => `${line ?? '-'} ${path}: ${message}`)
  }
}
const configWith = (inputs: string, rest = '') => `
agent: pi-1
spool: { folder: /tmp/spool }
gateway: { url: mqtt://gw:1883 }
${rest}
inputs:
${inputs}`

test('the example is a config, and its password comes from the environment', async () => {
  const text = await readFile(fileURLToPath(new URL('../agent.example.yaml', import.meta.url)), 'utf8')
  const config = parse(text, { AGENT_PASSWORD: 'secret' })
  expect(config.gateway.password).toBe('secret')
  expect(config.inputs.map(({ type }) => type)).toEqual(['serial', 'serial', 'mqtt', 'host'])
  expect(() => parse(text)).toThrow(/AGENT_PASSWORD is not set/)
})

test('little is enough: the rest has defaults', () => {
  const config = parse(configWith('  - { name: host, type: host }'))
  expect(config.spool).toMatchObject({
    budget: 2 ** 30,
    segment: 8 * 2 ** 20,
    free_disk: 256 * 2 ** 20,
  })
  expect(config.batch).toEqual({ age: 500, readings: 1_000, lateness: 1_000 })
  expect(config.gateway).toMatchObject({ in_flight: 16, keepalive: 15_000 })
  expect(config.admin.listen).toEqual({ host: '127.0.0.1', port: 9_601 })
})

test('appends share a sync for a quarter of a second, or a quarter of the age of a batch when that is shorter', () => {
  const host = '  - { name: host, type: host }'
  expect(durabilityMs(parse(configWith(host)))).toBe(250)
  expect(durabilityMs(parse(configWith(host, 'batch: { age: 100ms }')))).toBe(25)
  expect(durabilityMs(parse(configWith(host, 'batch: { age: 5s }')))).toBe(250)
  const said = configWith(host, 'batch: { age: 100ms }').replace('/tmp/spool', '/tmp/spool, durability: 1s')
  expect(durabilityMs(parse(said))).toBe(1_000)
})

test('three mistakes are told at once, each with path, line and value', () => {
  const found = mistakes(`agent: Pi Workshop
spool: { folder: /tmp/s, budgte: 1GiB, durability: fast }
gateway: { url: mqtt://gw:1883 }
inputs:
  - { name: host, type: host }
`)
  expect(found).toHaveLength(3)
  expect(found.join('\n')).toMatch(/1 agent: must be a name.*got "Pi Workshop"/)
  expect(found.join('\n')).toMatch(/2 spool.durability: must be a duration.*got "fast"/)
  expect(found.join('\n')).toMatch(/2 spool.budgte: unknown key/)
})

test('a duration that would keep the machine busy, or that MQTT cannot say, is refused', () => {
  const found = mistakes(
    configWith(
      `
  - { name: host, type: host, interval: 0s }
  - { name: pump, type: serial, path: /dev/ttyUSB0, framing: { type: json-lines }, idle: 0ms }
  - { name: broker, type: mqtt, url: "mqtt://localhost", keepalive: 1d, topics: [{ pattern: a }] }`,
    ).replace('gw:1883 }', 'gw:1883, keepalive: 10ms }'),
  )
  expect(found.map((line) => line.replace(/^\d+ /, ''))).toEqual([
    'gateway.keepalive: must be between "1s" and "1h" (got "10ms")',
    'inputs[0].interval: must be at least "100ms" (got "0s")',
    'inputs[1].idle: must be at least "100ms" (got "0ms")',
    'inputs[2].keepalive: must be between "1s" and "1h" (got "1d")',
  ])
})

describe('mistakes that only this config can have', () => {
  test.each([
    ['no input', configWith('  []'), /inputs: must have at least one input/],
    [
      'a name twice',
      configWith('  - { name: a, type: host }\n  - { name: a, type: host }'),
      /inputs\[1\].name: another input has this name/,
    ],
    ['an unknown type', configWith('  - { name: a, type: modbus }'), /inputs\[0\].type/],
    [
      'an unknown framing',
      configWith('  - { name: a, type: serial, path: /dev/x, framing: { type: xml } }'),
      /framing.type/,
    ],
    [
      'columns twice',
      configWith('  - { name: a, type: serial, path: /dev/x, framing: { type: csv, columns: [x, x] } }'),
      /columns: column "x" stands there twice/,
    ],
    [
      'COBS without its checksum',
      configWith('  - { name: a, type: serial, path: /dev/x, framing: { type: cobs, crc: false } }'),
      /cobs frames always carry a checksum/,
    ],
    [
      'a bad pattern',
      configWith("  - { name: a, type: mqtt, url: 'mqtt://b:1', topics: [{ pattern: 'a/x{device}', kind: k }] }"),
      /topics\[0\].pattern: "x\{device\}" must be/,
    ],
    [
      'overlapping patterns',
      configWith(
        "  - { name: a, type: mqtt, url: 'mqtt://b:1', topics: [{ pattern: 'a/{device}', kind: k }, { pattern: 'a/+', kind: k, device: d }] }",
      ),
      /topics\[1\].pattern: matches topics that topics\[0\] matches too/,
    ],
    [
      'a plain value without a field',
      configWith(
        "  - { name: a, type: mqtt, url: 'mqtt://b:1', topics: [{ pattern: 'a/{device}', kind: k, payload: number }] }",
      ),
      /topics\[0\].field: payload: number needs either/,
    ],
    [
      'a plain value without a device',
      configWith(
        "  - { name: a, type: mqtt, url: 'mqtt://b:1', topics: [{ pattern: 'a/{field}', kind: k, payload: number }] }",
      ),
      /topics\[0\].device: needs \{device\}/,
    ],
    [
      'JSON with a field',
      configWith(
        "  - { name: a, type: mqtt, url: 'mqtt://b:1', topics: [{ pattern: 'a/{device}/{field}', kind: k }] }",
      ),
      /names its fields itself/,
    ],
    [
      'two secrets',
      configWith(
        "  - { name: a, type: mqtt, url: 'mqtt://b:1', password: x, password_file: y, topics: [{ pattern: 'a/{device}', kind: k }] }",
      ),
      /password_file: give either/,
    ],
    [
      'an address that is no broker',
      configWith("  - { name: a, type: mqtt, url: 'http://b', topics: [{ pattern: 'a/{device}', kind: k }] }"),
      /url: must be like "mqtt:/,
    ],
    [
      'two inputs on one port',
      configWith(
        '  - { name: a, type: serial, path: /dev/ttyUSB0, framing: { type: cobs } }\n  - { name: b, type: serial, path: /dev/../dev/ttyUSB0, framing: { type: cobs } }',
      ),
      /inputs\[1\].path: is the port of input "a" already/,
    ],
    [
      'a spool of one segment',
      configWith('  - { name: host, type: host }').replace('/tmp/spool', '/tmp/spool, budget: 8MiB'),
      /spool.budget: must be at least 4 segments/,
    ],
    [
      'a tiny segment',
      configWith('  - { name: host, type: host }').replace('/tmp/spool', '/tmp/spool, segment: 64KiB'),
      /spool.segment: must be at least 2MiB/,
    ],
  ])('%s', (_, text, expected) => {
    expect(mistakes(text).join('\n')).toMatch(expected)
  })
})

test('the version is that of package.json', async () => {
  const manifest = JSON.parse(await readFile(fileURLToPath(new URL('../package.json', import.meta.url)), 'utf8')) as {
    version: string
  }
  expect(VERSION).toBe(manifest.version)
})
