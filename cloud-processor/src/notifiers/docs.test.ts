/** `docs/alerts.md` says what the code does: its examples are parsed, checked and run. */
import { readFile } from 'node:fs/promises'
import { readContracts } from '@tributary/protocol'
import { parseConfig } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { rulesSchemaFor } from '../alerts/index.ts'
import { exampleNotification } from './example-notification.ts'
import { notifiersSchema, payloadOf } from './index.ts'
import { signatureOf } from './webhook.ts'

const root = new URL('../../../', import.meta.url).pathname
const page = await readFile(`${root}docs/alerts.md`, 'utf8')
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map((m) => m[1] ?? '')
const blockWith = (language: string, text: string) => blocks(language).find((block) => block.includes(text)) ?? ''

test('the example of a rules file is valid for the shipped contracts', async () => {
  const contracts = await readContracts(`${root}contracts`)
  const { rules } = parseConfig(
    'docs/alerts.md',
    blockWith('yaml', 'rules:'),
    rulesSchemaFor(contracts, ['people', 'chief']),
    {},
  )
  expect(rules.map(({ name }) => name)).toEqual(['bearings-at-night', 'no-outliers-of-the-test-bench'])
  const rest = parseConfig('docs/alerts.md', blockWith('yaml', 'inhibit:'), rulesSchemaFor(contracts, []), {})
  expect(rest).toMatchObject({
    inhibit: [{ same: ['site'] }],
    limit: { per_hour: 200 },
    unreachable: { after: 60_000 },
  })
})

test('the example of notifiers is valid', () => {
  const environment = { WEBHOOK_SECRET: 'x'.repeat(16), WEBHOOK_TOKEN: 'y' }
  const schema = z.strictObject({ notifiers: notifiersSchema })
  const { notifiers } = parseConfig('docs/alerts.md', blockWith('yaml', 'notifiers:'), schema, environment)
  expect(notifiers.map(({ type }) => type)).toEqual(['log', 'webhook'])
})

test('the example of a payload is what is sent', () => {
  const notification = exampleNotification({ episode: '3f0c9a52b1d8e476' })
  expect(JSON.parse(blocks('json')[0] ?? '')).toEqual(payloadOf(notification))
})

test('the check of the signature accepts ours and refuses others', async () => {
  const source = blockWith('js', 'isFromTributary')
  const { isFromTributary } = await import(`data:text/javascript,${encodeURIComponent(source)}`)
  const [body, secret, now] = ['{"a":1}', 'a secret of some length', 1_770_000_000]
  const header = signatureOf(secret, body, now)
  expect(isFromTributary(body, header, secret, now + 60)).toBe(true)
  expect(isFromTributary(body, header, secret, now + 600)).toBe(false)
  expect(isFromTributary('{"a":2}', header, secret, now)).toBe(false)
  expect(isFromTributary(body, header, 'another secret, as long', now)).toBe(false)
  expect(isFromTributary(body, undefined, secret, now)).toBe(false)
})
