import { createHmac, timingSafeEqual } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, createLogger, every, messageOf, systemClock } from '@tributary/runtime'
import { selfSigned } from '@tributary/runtime/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { alertmanagerNotifier } from './alertmanager.ts'
import { exampleNotification } from './example-notification.ts'
import { createNotifiers, notifiersSchema } from './index.ts'
import { ATTEMPT_MS, describeNotifier } from './notifier.conformance.ts'
import { AccessRefusedError, type Notifier, RetryLaterError } from './notifier.ts'
import { ntfyNotifier } from './ntfy.ts'
import { type Behaviour, type Receiver, startReceiver } from './receiver.ts'
import { slackNotifier } from './slack.ts'
import { webhookNotifier } from './webhook.ts'

const SECRET = 'a secret of some length'
const signal = new AbortController().signal
const priorities = { info: 3, warning: 4, critical: 5, resolved: 2 }
const common = { name: 'people', timeoutMs: ATTEMPT_MS }
const dependencies = { clock: systemClock }
const overHttp: Readonly<Record<string, (url: string, clock?: Clock) => Notifier>> = {
  webhook: (url, clock = systemClock) => webhookNotifier({ ...common, url, secret: SECRET }, { clock }),
  slack: (url) => slackNotifier({ ...common, url }, dependencies),
  ntfy: (url) => ntfyNotifier({ ...common, url, topic: 'pumps', priorities, tags: [] }, dependencies),
  alertmanager: (url) => alertmanagerNotifier({ ...common, url, labels: {}, repeatEveryMs: 60_000 }, dependencies),
}
for (const [name, create] of Object.entries(overHttp))
  describeNotifier<Behaviour>(name, {
    create,
    start: async (behave) => {
      const receiver = await startReceiver(behave)
      const taken = () => receiver.taken.map(({ headers, body }) => `${headers['idempotency-key']} ${body}`)
      return { address: receiver.url, taken, close: receiver.close }
    },
    taken: { status: 204 },
    never: [{ status: 400, body: 'no such field' }, { status: 413 }, { status: 422 }],
    later: [
      { status: 500 },
      { status: 401 },
      { status: 403 },
      { status: 404, body: 'no such hook' },
      { status: 405 },
      { status: 410 },
      { status: 425 },
      { status: 503 },
      { status: 408 },
      { status: 429 },
      { status: 302, headers: { location: '/' } },
      'destroy',
    ],
    hang: 'hang',
  })

let receiver: Receiver | undefined
afterEach(() => receiver?.close())

describe('webhook', () => {
  test('posts the documented JSON, with key and own headers', async () => {
    receiver = await startReceiver(() => ({ status: 200, body: 'thanks' }))
    const headers = { Authorization: 'Bearer x', 'Content-Type': 'text/plain' }
    const notifier = webhookNotifier({ ...common, url: receiver.url, headers }, dependencies)
    expect(await notifier.send(exampleNotification(), signal)).toMatch(/^127\.0\.0\.1:\d+ answered 200: thanks$/)
    const [taken] = receiver.taken
    expect(taken?.headers).toMatchObject({
      'content-type': 'application/json',
      'idempotency-key': '0123456789abcdef/firing',
      authorization: 'Bearer x',
    })
    expect(taken?.headers['tributary-signature']).toBeUndefined()
    expect(JSON.parse(taken?.body ?? '')).toEqual({
      version: 1,
      key: '0123456789abcdef/firing',
      episode: '0123456789abcdef',
      state: 'firing',
      severity: 'critical',
      title:
        'CRITICAL pump-1 at plant: Vibration velocity (RMS): 7.900 mm/s, 0.800 above the limit 7.1 (2026-01-31 14:03:20 UTC)',
      message: 'Vibration velocity (RMS): 7.900 mm/s, 0.800 above the limit 7.1',
      rule: 'vibration.velocity_rms_mm_s.threshold_above_7.1',
      detector: 'threshold_above_7.1',
      site: 'plant',
      device: 'pump-1',
      kind: 'vibration',
      field: 'velocity_rms_mm_s',
      label: 'Vibration velocity (RMS)',
      unit: 'mm/s',
      value: 7.9,
      expected: null,
      lower: null,
      upper: 7.1,
      startedAt: '2026-01-31T14:03:20.000Z',
      at: '2026-01-31T14:03:20.000Z',
      name: 'Feed pump',
      line: '2',
      location: 'north hall',
      link: '',
      text: expect.stringContaining('Value: 7.9 mm/s\nExpected: at most 7.1 mm/s\nDevice: Feed pump (pump-1)\n'),
    })
  })

  test('signs each attempt anew, so that a receiver can check it', async () => {
    receiver = await startReceiver((n) => ({ status: n === 0 ? 500 : 200 }))
    let wallMs = 1_770_000_000_500
    const clock = { ...systemClock, wallMs: () => wallMs }
    const notifier = webhookNotifier({ ...common, url: receiver.url, secret: SECRET }, { clock })
    await expect(notifier.send(exampleNotification(), signal)).rejects.toThrow('answered 500')
    wallMs += 60_000
    await notifier.send(exampleNotification(), signal)
    const times = receiver.requests.map(({ headers, body }) => {
      const match = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['tributary-signature']))
      const expected = createHmac('sha256', SECRET).update(`${match?.[1]}.${body}`).digest()
      expect(timingSafeEqual(expected, Buffer.from(match?.[2] ?? '', 'hex'))).toBe(true)
      return Number(match?.[1])
    })
    expect(times).toEqual([1_770_000_000, 1_770_000_060])
  })

  test('says what was answered, in one line, without waiting for the rest of it', async () => {
    receiver = await startReceiver(() => ({ status: 403, body: `wrong\n\u001b token ${'x'.repeat(1_000_000)}` }))
    const sent = webhookNotifier({ ...common, url: receiver.url }, dependencies).send(exampleNotification(), signal)
    await expect(sent).rejects.toThrow(
      /^127\.0\.0\.1:\d+ answered 403: wrong token x+ \(check url, headers and secret of notifier "people"\)$/,
    )
    await expect(sent).rejects.toBeInstanceOf(AccessRefusedError)
  })

  test.each(['destroy', 'hang'] as const)(
    'has been taken with a 2xx, although the rest of the answer: %s',
    async (end) => {
      receiver = await startReceiver(() => ({ status: 200, body: 'than', end }))
      const timeoutMs = 20_000
      const fromMs = systemClock.monotonicMs()
      const notifier = webhookNotifier({ ...common, timeoutMs, url: receiver.url }, dependencies)
      expect(await notifier.send(exampleNotification(), signal)).toMatch(/answered 200/)
      expect(systemClock.monotonicMs() - fromMs).toBeLessThan(timeoutMs / 2)
    },
  )

  test.each([
    ['its headers', 'HTTP/1.1 200 OK\r\nX-Slow: ', /did not answer in 2000 ms/],
    ['its answer', 'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n', /answered 200: x+$/],
  ])('one that says %s a byte at a time holds nobody for longer than an attempt', async (_, beginning, said) => {
    const stopping = new AbortController()
    const slow = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.write(beginning)
      void every(20, () => void socket.write('x'), { clock: systemClock, signal: stopping.signal })
    })
    await new Promise<void>((resolve) => slow.listen(0, '127.0.0.1', resolve))
    const { port } = slow.address() as { port: number }
    const fromMs = systemClock.monotonicMs()
    const sent = webhookNotifier({ ...common, url: `http://127.0.0.1:${port}/` }, dependencies)
    const outcome = await sent.send(exampleNotification(), signal).catch(messageOf)
    expect(outcome).toMatch(said)
    expect(systemClock.monotonicMs() - fromMs).toBeLessThan(5 * ATTEMPT_MS)
    stopping.abort()
    slow.close()
  })

  test('follows nobody to another address, and says that the config must name it', async () => {
    receiver = await startReceiver(() => ({ status: 301, headers: { location: '/secret-path' } }))
    const sent = webhookNotifier({ ...common, url: receiver.url }, dependencies).send(exampleNotification(), signal)
    await expect(sent).rejects.toBeInstanceOf(AccessRefusedError)
    await expect(sent).rejects.toThrow(/answered 301: .*give the final address \(check url, .*"people"\)$/)
    await expect(sent).rejects.not.toThrow('secret-path')
    expect(receiver.requests).toHaveLength(1)
  })

  test('a path, token or password that the receiver repeats in its answer is not shown', async () => {
    receiver = await startReceiver((_, { path, headers }) => ({
      status: 404,
      body: `Cannot POST ${path} with ${headers.authorization}, ${headers['x-key']}`,
    }))
    const url = `${receiver.url}s/T0/s3cret?token=als0s3cret`
    const headers = { Authorization: 'Bearer t0ken-s3cret', 'X-Key': 'k3y-s3cret' }
    const sent = webhookNotifier({ ...common, url, headers }, dependencies).send(exampleNotification(), signal)
    await expect(sent).rejects.toThrow(/answered 404: Cannot POST \*\*\* with \*\*\*, \*\*\* \(/)
    const withLogin = webhookNotifier({ ...common, url: receiver.url.replace('//', '//u:s3cret@') }, dependencies)
    await expect(withLogin.send(exampleNotification(), signal)).rejects.not.toThrow(/s3cret|dTpzM2NyZXQ/)
    const options = { ...common, url: receiver.url, topic: 'pumps', priorities, tags: [], token: 'tk_s3cret' }
    await expect(ntfyNotifier(options, dependencies).send(exampleNotification(), signal)).rejects.not.toThrow('s3cret')
  })

  test('hears when to come again: in seconds, or at a date', async () => {
    const wallMs = Date.UTC(2026, 0, 31, 14, 0, 0)
    const answers = ['120', 'Sat, 31 Jan 2026 14:05:00 GMT', 'soon', 'Sat, 31 Jan 2026 13:00:00 GMT']
    receiver = await startReceiver((n) => ({ status: 429, headers: { 'retry-after': answers[n] as string } }))
    const notifier = webhookNotifier(
      { ...common, url: receiver.url },
      { clock: { ...systemClock, wallMs: () => wallMs } },
    )
    const asked: unknown[] = []
    for (const _ of answers)
      await notifier.send(exampleNotification(), signal).catch((error: unknown) => {
        asked.push(error instanceof RetryLaterError ? error.afterMs : 'by itself')
      })
    expect(asked).toEqual([120_000, 300_000, 'by itself', 'by itself'])
  })

  test('a name and password in the address log in', async () => {
    receiver = await startReceiver(() => ({ status: 200 }))
    const url = receiver.url.replace('//', '//pumps:p%40ss@')
    await webhookNotifier({ ...common, url }, dependencies).send(exampleNotification(), signal)
    expect(receiver.taken[0]?.headers.authorization).toBe(`Basic ${Buffer.from('pumps:p@ss').toString('base64')}`)
  })

  test('a path or password in the address is in no error', async () => {
    const url = 'http://someone:s3cret@127.0.0.1:1/hooks/T0/B0/s3cret'
    const sent = webhookNotifier({ ...common, url }, dependencies).send(exampleNotification(), signal)
    const error = await sent.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(Error)
    expect((error as Error).message).toContain('127.0.0.1:1')
    expect(`${(error as Error).stack} ${JSON.stringify(error)}`).not.toContain('s3cret')
  })
})

describe('over TLS', () => {
  let folder = ''
  const certificate = selfSigned()
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-notifiers-'))
    await writeFile(join(folder, 'ca.pem'), certificate.cert)
    await writeFile(join(folder, 'other.pem'), selfSigned().cert)
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('a certificate is checked: by the file that is named, else by those of Node', async () => {
    receiver = await startReceiver(() => ({ status: 200 }), { tls: certificate })
    const with_ = (caFile?: string) =>
      webhookNotifier({ ...common, url: receiver?.url ?? '', caFile }, dependencies).send(exampleNotification(), signal)
    expect(await with_(join(folder, 'ca.pem'))).toContain('answered 200')
    await expect(with_(join(folder, 'other.pem'))).rejects.toThrow(/127\.0\.0\.1:\d+: .*(certificate|signature)/)
    await expect(with_()).rejects.toThrow(/self-signed certificate/)
    await expect(with_(join(folder, 'absent.pem'))).rejects.toThrow(/ENOENT/)
    expect(receiver.taken).toHaveLength(1)
  })
})

test('slack: a message with colour, details and a link, in which nothing from outside is markup', async () => {
  receiver = await startReceiver(() => ({ status: 200, body: 'ok' }))
  const dashboardUrl = 'https://grafana.example.org'
  const notifier = slackNotifier({ ...common, url: receiver.url, dashboardUrl, channel: '#pumps' }, dependencies)
  const place = { name: '<!channel> & co', line: '', location: '@here [x](http://evil)' }
  await notifier.send(exampleNotification({ place }), signal)
  await notifier.send(exampleNotification({ state: 'resolved' }), signal)
  const [firing, resolved] = receiver.taken.map(({ body }) => JSON.parse(body))
  expect(firing).toMatchObject({ channel: '#pumps', mrkdwn: false })
  expect(firing.text).toMatch(/^CRITICAL pump-1 at plant: /)
  const [attachment] = firing.attachments
  expect(attachment).toMatchObject({ color: '#d00000', mrkdwn_in: [], footer: 'tributary 0123456789abcdef/firing' })
  expect(attachment.text).toMatch(
    /^<https:\/\/grafana\.example\.org\/d\/tributary-vibration\?from=\d+&amp;to=\d+&amp;var-site=plant&amp;var-device=pump-1\|Dashboard at that time>$/,
  )
  expect(
    Object.fromEntries(attachment.fields.map(({ title, value }: Record<string, string>) => [title, value])),
  ).toEqual({
    Severity: 'critical',
    Value: '7.9 mm/s',
    Expected: 'at most 7.1 mm/s',
    Device: '&lt;!channel&gt; &amp; co (pump-1)',
    Place: 'plant, @\u200bhere [x]\u200b(http://evil)',
    Since: '2026-01-31 14:03:20 UTC',
    Rule: 'vibration.velocity_rms_mm_s.threshold_above_7.1',
  })
  expect(resolved.text).toMatch(/^RESOLVED /)
  expect(resolved.attachments[0].color).toBe('#2eb67d')
})

test("slack: a template of one's own may have markup, what it names may not", async () => {
  receiver = await startReceiver(() => ({ status: 200 }))
  const templates = { title: '<!here> {{name}}', text: '*{{device}}*: {{value}} {{unit}}, expected {{expected}}' }
  const notifier = slackNotifier({ ...common, url: receiver.url, ...templates }, dependencies)
  await notifier.send(exampleNotification({ place: { name: '<b>', line: '', location: '' } }), signal)
  const message = JSON.parse(receiver.taken[0]?.body ?? '')
  expect(message).toMatchObject({ text: '<!here> &lt;b&gt;', mrkdwn: true })
  expect(message.attachments[0]).toMatchObject({ text: '*pump-1*: 7.9 mm/s, expected –', mrkdwn_in: ['text'] })
  expect(message.attachments[0].fields).toBeUndefined()
})

test('ntfy: priority by severity, one notice an episode, a click that leads to the dashboard', async () => {
  receiver = await startReceiver(() => ({ status: 200, body: '{"id":"x"}' }))
  const dashboardUrl = 'https://grafana.example.org/'
  const notifier = ntfyNotifier(
    { ...common, url: receiver.url, topic: 'pumps', priorities, tags: ['plant'], token: 'tk_x', dashboardUrl },
    dependencies,
  )
  await notifier.send(exampleNotification(), signal)
  await notifier.send(exampleNotification({ severity: 'info' }), signal)
  await notifier.send(exampleNotification({ state: 'resolved' }), signal)
  expect(receiver.taken.map(({ headers }) => headers.authorization)).toEqual(Array(3).fill('Bearer tk_x'))
  const messages = receiver.taken.map(({ body }) => JSON.parse(body))
  expect(messages.map(({ priority }) => priority)).toEqual([5, 3, 2])
  expect(messages.map(({ sequence_id }) => sequence_id)).toEqual(Array(3).fill('0123456789abcdef'))
  expect(messages.map(({ tags }) => tags[0])).toEqual(['rotating_light', 'information_source', 'white_check_mark'])
  expect(messages[0]).toMatchObject({
    topic: 'pumps',
    tags: ['rotating_light', 'plant'],
    click: expect.stringMatching(/^https:\/\/grafana\.example\.org\/d\/tributary-vibration\?from=/),
  })
  expect(Buffer.byteLength(messages[0].message)).toBeLessThan(4_096)
})

test('log: one line, with what a receiver would be told, although the log is to say errors alone', async () => {
  const lines: string[] = []
  const log = createLogger('test', 'error', { write: (line) => void lines.push(line) })
  const [notifier] = createNotifiers(notifiersSchema.parse([{ type: 'log', name: 'journal' }]), {
    ...dependencies,
    log,
  })
  await notifier?.send(exampleNotification({ state: 'resolved', device: '*', label: '' }), signal)
  expect(lines.length).toBe(1)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'info',
    receiver: 'journal',
    alert: { key: '0123456789abcdef/resolved', state: 'resolved' },
    msg: 'RESOLVED plant: Vibration velocity (RMS): 7.900 mm/s, 0.800 above the limit 7.1 (2026-01-31 14:03:20 UTC)',
  })
})
