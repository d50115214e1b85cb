import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { ConfigError, loadConfig, parseConfig, VERSION } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { type ProcessorConfig, processorConfigSchema } from './config.ts'

const example = fileURLToPath(new URL('../processor.example.yaml', import.meta.url))
const minimal = `processor: p
nats: { url: nats://127.0.0.1:4222 }
influx: { url: "http://127.0.0.1:8086" }
contracts: contracts
checkpoint: { folder: state }
`
const parse = (text: string): ProcessorConfig => parseConfig('processor.yaml', text, processorConfigSchema, {})
const mistakesIn = (text: string): string[] => {
  try {
    parse(text)
    return []
  } catch (error) {
    return (error as ConfigError).mistakes.map(({ path }) => path)
  }
}

test('the example shows the defaults as they are', async () => {
  const shown = await loadConfig(example, processorConfigSchema)
  const { processor, contracts, checkpoint, nats, influx, notifiers } = shown
  const defaults = parse(minimal)
  expect({ ...shown, contracts: '', checkpoint: checkpoint.interval, nats: '', notifiers: [] }).toEqual({
    ...defaults,
    processor,
    contracts: '',
    checkpoint: defaults.checkpoint.interval,
    nats: '',
    influx: { ...defaults.influx, url: influx.url },
  })
  expect(parse(minimal.replace(/checkpoint.*/, '')).checkpoint).toEqual({ interval: 500 })
  expect([contracts, nats.url, notifiers.length]).toEqual(['../contracts', 'nats://127.0.0.1:4222', 1])
})

test('what the example only mentions is accepted, too', () => {
  const text = readFileSync(example, 'utf8').replace(/^(\s*)# (?=( {2})?(- )?[a-z_]+: \S)(?!devices: \[)/gm, '$1')
  expect(text).toMatch(/^ {2}credentials_file: processor.creds$/m)
  const environment = {
    NATS_PASSWORD: 'p',
    NATS_TOKEN: 't',
    INFLUX_PASSWORD: 'p',
    INFLUX_TOKEN: 't',
    WEBHOOK_SECRET: 'a secret that is long enough',
    SLACK_URL: 'https://chat.example.org/hooks/x',
    SMTP_PASSWORD: 'p',
    NTFY_TOKEN: 't',
  }
  const mistakes = (() => {
    try {
      parseConfig(example, text, processorConfigSchema, environment)
      return ''
    } catch (error) {
      return error instanceof ConfigError ? error.message : String(error)
    }
  })()
  expect(mistakes).toBe('')
})

test.each([
  ['0-15', Array.from({ length: 16 }, (_, i) => i)],
  ['3', [3]],
  ['8,0-2,1', [0, 1, 2, 8]],
])('partitions %s', (text, expected) => {
  expect(parse(`${minimal}partitions: ${text}\n`).partitions).toEqual(expected)
})

test.each(['16', '3-99', '5-3', 'all', '-1', '0-'])('partitions %s are refused', (text) => {
  expect(mistakesIn(`${minimal}partitions: "${text}"\n`)).toEqual(['partitions'])
})

test('the key for hashes is long enough, and given once', () => {
  const key = 'a key of sixteen characters'
  expect(parse(`${minimal}sensitive: { hash_key: "${key}" }\n`).sensitive).toEqual({
    hash_key: key,
    keep_originals: false,
  })
  expect(mistakesIn(`${minimal}sensitive: { hash_key: short }\n`)).toEqual(['sensitive.hash_key'])
  expect(mistakesIn(`${minimal}sensitive: { hash_key: "${key}", hash_key_file: f }\n`)).toEqual(['sensitive'])
  expect(mistakesIn(`${minimal}sensitive: { salt: x }\n`)).toEqual(['sensitive.salt'])
})

test('all mistakes at once', () => {
  expect(
    mistakesIn(
      'processor: "Not A Name"\nnats: {}\ninflux: { url: "ftp://x", version: 7 }\ncontracts: c\ncheckpoint: { folder: f, interval: soon }\nlingers: 1s\n',
    ).sort(),
  ).toEqual(['checkpoint.interval', 'influx.url', 'influx.version', 'lingers', 'nats.url', 'processor'])
})

test('a version of InfluxDB may be a number; 2 needs token and org', () => {
  const withInflux = (more: string) => minimal.replace('127.0.0.1:8086"', `127.0.0.1:8086", ${more}`)
  expect(parse(withInflux('version: 3')).influx.version).toBe('3')
  expect(parse(withInflux('version: "2", token: t, org: o')).influx).toMatchObject({
    version: '2',
    token: 't',
    org: 'o',
  })
  expect(mistakesIn(withInflux('version: 2, token: ""'))).toEqual(['influx.token', 'influx.org'])
  expect(mistakesIn(withInflux('version: 4'))).toEqual(['influx.version'])
})

test('the version is that of the package', () => {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  expect(VERSION).toBe(manifest.version)
})
