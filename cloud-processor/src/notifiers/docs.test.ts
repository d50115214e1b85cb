/** `docs/notifiers.md` and `docs/alerts.md` say what the code does: their examples are parsed, checked and run. */
import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { readContracts } from '@tributary/protocol'
import { parseConfig } from '@tributary/runtime'
import { findOnPath } from '@tributary/stack'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { rulesSchemaFor } from '../alerts/index.ts'
import { processorConfigSchema } from '../config.ts'
import { exampleNotification } from './example-notification.ts'
import { dashboardUrlSchema, notifiersSchema, payloadOf } from './index.ts'
import { PLACEHOLDERS } from './template.ts'
import { signatureOf } from './webhook.ts'

const root = new URL('../../../', import.meta.url).pathname
const alerts = await readFile(`${root}docs/alerts.md`, 'utf8')
const page = await readFile(`${root}docs/notifiers.md`, 'utf8')
const blocks = (language: string, text = page) =>
  [...text.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((m) => m[1] ?? '')
const blockWith = (language: string, text: string) => blocks(language).find((block) => block.includes(text)) ?? ''
const environment = new Proxy({}, { get: () => 'https://secret.example.org/x' })

test('the example of a rules file is valid for the shipped contracts', async () => {
  const contracts = await readContracts(`${root}contracts`)
  const example = (text: string) => blocks('yaml', alerts).find((block) => block.includes(text)) ?? ''
  const schema = rulesSchemaFor(contracts, ['people', 'chief'])
  const { rules } = parseConfig('docs/alerts.md', example('rules:'), schema, {})
  expect(rules.map(({ name }) => name)).toEqual(['bearings-at-night', 'no-outliers-of-the-test-bench'])
  const rest = parseConfig('docs/alerts.md', example('inhibit:'), schema, {})
  expect(rest).toMatchObject({
    inhibit: [{ same: ['site'] }],
    limit: { per_hour: 200 },
    unreachable: { after: 60_000 },
  })
})

test('the examples of notifiers are valid, one at least of each type', () => {
  const schema = z.strictObject({ dashboard_url: dashboardUrlSchema, notifiers: notifiersSchema })
  const types = blocks('yaml').flatMap((block) =>
    parseConfig('docs/notifiers.md', block, schema, environment).notifiers.map(({ type }) => type),
  )
  expect([...new Set(types)].sort()).toEqual(['alertmanager', 'email', 'log', 'mqtt', 'ntfy', 'slack', 'webhook'])
  const inTable = [...page.matchAll(/^\| \[`(\w+)`\]/gm)].map(([, type]) => type)
  expect(inTable.sort()).toEqual([...new Set(types)].sort())
})

test('so are those that the example of a processor mentions', async () => {
  const example = await readFile(`${root}cloud-processor/processor.example.yaml`, 'utf8')
  const shown = example.replace(/^ {2}# (?=(- | {2})\w+: )/gm, '  ').replace(/^# (?=dashboard_url: )/gm, '')
  const config = parseConfig('processor.example.yaml', shown, processorConfigSchema, environment)
  expect(config.notifiers.map(({ type }) => type)).toEqual([
    'log',
    'webhook',
    'slack',
    'email',
    'ntfy',
    'mqtt',
    'alertmanager',
  ])
  expect(config.dashboard_url).toBeDefined()
})

test('each placeholder is documented, and no other', () => {
  const [, table = ''] = page.split('| placeholder | says |')
  const rows = table.split('\n\n')[0]?.split('\n') ?? []
  const named = rows.flatMap((row) => [...(row.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name))
  expect(named.sort()).toEqual([...PLACEHOLDERS].sort())
})

test('the example of a payload is what is sent', () => {
  const notification = exampleNotification({ episode: '3f0c9a52b1d8e476' })
  const dashboardUrl = 'https://grafana.example.org'
  expect(JSON.parse(blocks('json')[0] ?? '')).toEqual(payloadOf(notification, { dashboardUrl }))
})

const [body, secret, now] = ['{"a":1}', 'a secret of some length', 1_770_000_000]
const header = signatureOf(secret, body, now)
/** Body, header, secret, time; whether it is ours. */
const CASES = [
  [body, header, secret, now + 60, true],
  [body, header, secret, now + 600, false],
  ['{"a":2}', header, secret, now, false],
  [body, header, 'another secret, as long', now, false],
  [body, `${header}0`, secret, now, false],
  [body, null, secret, now, false],
] as const

test('the check of the signature in JavaScript accepts ours and refuses others', async () => {
  const source = blockWith('js', 'isFromTributary')
  const { isFromTributary } = await import(`data:text/javascript,${encodeURIComponent(source)}`)
  const judged = CASES.map(([text, sent, key, at]) => isFromTributary(text, sent ?? undefined, key, at))
  expect(judged).toEqual(CASES.map((one) => one[4]))
})

const python = await findOnPath('python3')
/** Nothing else here needs Python, so a machine may have none. */
test.runIf(python)('and the one in Python', () => {
  const calls = CASES.map(([text, sent, key, at]) => [text, sent, key, at])
  const source = `${blockWith('python', 'is_from_tributary')}
import json, sys
print(json.dumps([is_from_tributary(b.encode(), h, s, t) for b, h, s, t in json.load(sys.stdin)]))`
  const said = execFileSync(python as string, ['-c', source], { input: JSON.stringify(calls), encoding: 'utf8' })
  expect(JSON.parse(said)).toEqual(CASES.map((one) => one[4]))
})
