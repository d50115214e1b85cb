import { type ConfigError, createLogger, parseConfig, systemClock } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { createNotifiers, notifiersSchema } from './index.ts'

const parse = (yaml: string, environment = {}) => parseConfig('x', yaml, notifiersSchema, environment)
const mistakes = (yaml: string): string[] => {
  try {
    parse(yaml)
    return []
  } catch (error) {
    return (error as ConfigError).mistakes.map(({ path, message }) => `${path}: ${message}`)
  }
}

test('notifiers are created by type, with defaults', () => {
  const configs = parse(
    `
- { type: log, name: journal }
- { type: webhook, name: people, url: "https://example.org/hook", secret: "\${SECRET}", timeout: 3s }
- { type: slack, name: chat, url: "https://chat.example.org/hooks/x" }
- { type: email, name: mail, host: smtp.example.org, from: a@example.org, to: [b@example.org] }
- { type: ntfy, name: phone, topic: pumps }
- { type: mqtt, name: bus, url: "mqtts://broker:8883" }
- { type: alertmanager, name: am, url: "http://127.0.0.1:9093" }
`,
    { SECRET: 'a secret of some length' },
  )
  expect(configs[1]).toEqual({
    type: 'webhook',
    name: 'people',
    url: 'https://example.org/hook',
    secret: 'a secret of some length',
    timeout: 3_000,
    headers: {},
  })
  expect(configs[3]).toMatchObject({ security: 'starttls', timeout: 30_000 })
  expect(configs[4]).toMatchObject({
    url: 'https://ntfy.sh',
    priorities: { info: 3, warning: 4, critical: 5, resolved: 2 },
  })
  expect(configs[5]).toMatchObject({ topic: 'tributary/alerts/{{site}}/{{device}}/{{rule}}', retain: false })
  expect(configs[6]).toMatchObject({ repeat: 60_000, labels: {} })
  const notifiers = createNotifiers(configs, { clock: systemClock, log: createLogger('test', 'silent') })
  expect(notifiers.map(({ name }) => name)).toEqual(['journal', 'people', 'chat', 'mail', 'phone', 'bus', 'am'])
  expect(notifiers.map(({ standing }) => standing?.everyMs)).toEqual([...Array(6).fill(undefined), 60_000])
})

test('mistakes are named, all at once', () => {
  expect(
    mistakes(`
- { type: webhook, name: a, url: "ftp://example.org", secret: short }
- { type: pigeon, name: b }
- { type: log, name: c }
- { type: log, name: C }
`),
  ).toEqual([
    '[0].url: must be an http or https address (got a secret that is not shown)',
    '[0].secret: must have at least 16 characters (got a secret that is not shown)',
    '[1].type: must be log, webhook, slack, email, ntfy, mqtt or alertmanager (got "pigeon")',
    '[3].name: must be lower-case letters, digits, "_" and "-", at most 63 (got "C")',
  ])
  expect(mistakes('[{ type: log, name: a }, { type: log, name: a }]')).toEqual([
    '[1].name: must be a name that no other notifier has (got "a")',
  ])
})

test.each([
  ['email', 'host: "smtp.example.org:25"', 'host', /name or address of a host/],
  ['email', 'to: [nobody]', 'to[0]', /must be an address such as/],
  ['email', 'to: ["a@example.org, b@example.org"]', 'to[0]', /must be an address such as/],
  ['email', 'from: "x\\r\\nBcc: y@example.org"', 'from', /must be an address such as/],
  ['email', 'password: x', 'username', /is needed by password/],
  ['email', 'security: ssl', 'security', /must be starttls, tls or none/],
  ['email', 'title: "{{devise}}"', 'title', /\{\{devise\}\} is not known/],
  ['ntfy', 'topic: "a b"', 'topic', /letters, digits/],
  ['ntfy', 'priorities: { critical: 9 }', 'priorities.critical', /must be 1 to 5/],
  ['mqtt', 'topic: "alerts/#"', 'topic', /without \+ and #/],
  ['mqtt', 'topic: "alerts/{{sight}}"', 'topic', /not known/],
  ['mqtt', 'tls_cert_file: x', 'tls_cert_file', /belong together/],
  ['mqtt', 'url: "http://x"', 'url', /must be an mqtt or mqtts address/],
  ['alertmanager', 'labels: { "a-b": c }', 'labels.a-b', /must be the name of a label/],
  ['alertmanager', 'repeat: 10ms', 'repeat', /at least 1s/],
  ['slack', 'headers: { X-A: "a\\nb" }', 'headers.X-A', /must be one line/],
  ['slack', 'headers: { X-A: "ключ" }', 'headers.X-A', /must be one line of Latin characters/],
  ['slack', 'headers: { Content-Length: "3" }', 'headers.Content-Length', /this one is HTTP's/],
  ['slack', 'timeout: 0ms', 'timeout', /must be at least 100ms/],
  ['email', 'timeout: 5ms', 'timeout', /must be at least 100ms/],
  ['slack', 'url: "https://u:100%@chat/x"', 'url', /name and password with % as %25 \(got a secret/],
  ['slack', 'colour: red', 'colour', /unknown key/],
])('a mistake in %s: %s', (type, wrong, path, message) => {
  const [key = ''] = wrong.split(':')
  const right: Record<string, string> = {
    email: 'host: smtp.example.org, from: a@example.org, to: [b@example.org]',
    ntfy: 'topic: pumps',
    mqtt: 'url: "mqtt://broker"',
    alertmanager: 'url: "http://am:9093"',
    slack: 'url: "https://chat/x"',
  }
  const rest = (right[type] ?? '').split(/, (?=\w+:)/).filter((one) => !one.startsWith(`${key}:`))
  expect(mistakes(`[{ type: ${type}, name: x, ${[...rest, wrong].join(', ')} }]`)).toEqual([
    expect.stringMatching(new RegExp(`^\\[0\\]\\.${path.replace(/[[\].]/g, '\\$&')}: .*${message.source}`)),
  ])
})

test('secrets are in no message', () => {
  const said = mistakes(`
- { type: slack, name: a, url: "htps://hooks.example.org/T0/s3cret" }
- { type: webhook, name: b, url: "https://x", headers: { Authorization: 53 }, secret: s3cret }
- { type: ntfy, name: c, topic: x, token: [s3cret] }
- { type: email, name: d, host: x, from: a@b, to: [a@b], username: u, password: [s3cret] }
- { type: mqtt, name: e, url: "mqt://user:s3cret@broker" }
`)
  expect(said.length).toBe(6)
  expect(said.join('\n')).not.toMatch(/s3cret|53/)
})
