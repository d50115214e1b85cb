import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { ConfigError, parseConfig, VERSION } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { gatewayConfigSchema } from './config.ts'
import { resolvePaths } from './gateway.ts'
import { loadGatewayConfig } from './run.ts'

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const smallest = {
  gateway: 'gw',
  site: 's',
  mqtt: {},
  credentials_file: 'a.passwd',
  nats: { url: 'nats://n' },
  spool: { folder: 'spool' },
}
const parse = (value: unknown) => parseConfig('gateway.yaml', JSON.stringify(value), gatewayConfigSchema, {})

test('the example config is valid, and its paths are taken from its folder', async () => {
  const config = await loadGatewayConfig(path('../gateway.example.yaml'))
  expect(config.gateway).toBe('gateway-1')
  expect(config.credentials_file).toBe(path('../agents.passwd'))
  expect(config.spool.folder).toBe('/var/lib/tributary/gateway/spool')
})

test('what the example says is what holds when it is left out', async () => {
  const example = await loadGatewayConfig(path('../gateway.example.yaml'))
  const config = parse(smallest)
  for (const section of ['mqtt', 'stream', 'admin', 'health', 'log'] as const)
    expect(config[section]).toEqual(example[section])
  expect({ ...config.spool, folder: '' }).toEqual({ ...example.spool, folder: '' })
  expect(config.nats.in_flight).toBe(example.nats.in_flight)
})

test('every mistake is reported at once, with path and value', () => {
  const mistakes = (() => {
    try {
      parse({
        ...smallest,
        gateway: 'GW 1',
        mqtt: { listen: '1883', packet_bytes_max: '1KiB' },
        nats: {},
        colour: 'red',
      })
    } catch (error) {
      return error instanceof ConfigError ? error.message : undefined
    }
    return undefined
  })()
  for (const part of [
    'gateway: lower-case',
    '"GW 1"',
    'mqtt.listen: must be host:port',
    'mqtt.packet_bytes_max: must be at least 1025KiB',
    'nats.url',
    'colour: unknown key',
  ])
    expect(mistakes).toContain(part)
})

test('sizes that cannot work together are refused', () => {
  expect(() => parse({ ...smallest, spool: { folder: 's', budget: '32MiB', segment: '16MiB' } })).toThrow(
    /at least four segments/,
  )
  expect(() => parse({ ...smallest, nats: { url: 'nats://n', user: 'u', token: 't' } })).toThrow(
    /either a user with a password or a token/,
  )
})

test('every path in the config is taken from its folder', () => {
  const config = resolvePaths(
    parse({
      ...smallest,
      mqtt: { tls: { cert: 'c.pem', key: '/k.pem' } },
      nats: { url: 'n', credentials_file: 'n.creds', tls_ca_file: 'ca.pem' },
    }),
    '/etc/tributary/gateway.yaml',
  )
  expect(config.mqtt.tls).toEqual({ cert: '/etc/tributary/c.pem', key: '/k.pem' })
  expect(config.nats).toMatchObject({
    credentials_file: '/etc/tributary/n.creds',
    tls_ca_file: '/etc/tributary/ca.pem',
  })
  expect(config.spool.folder).toBe('/etc/tributary/spool')
})

test('the version is that of the package', async () => {
  const manifest = JSON.parse(await readFile(path('../package.json'), 'utf8')) as { version: string }
  expect(VERSION).toBe(manifest.version)
})
