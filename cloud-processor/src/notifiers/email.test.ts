import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, PermanentError, systemClock } from '@tributary/runtime'
import { selfSigned } from '@tributary/runtime/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type EmailOptions, emailNotifier } from './email.ts'
import { exampleNotification } from './example-notification.ts'
import { ATTEMPT_MS, describeNotifier } from './notifier.conformance.ts'
import { AccessRefusedError } from './notifier.ts'
import { type SmtpBehaviour, type SmtpReceiver, startSmtpReceiver } from './smtp-receiver-harness.ts'

const signal = new AbortController().signal
const lines: Record<string, unknown>[] = []
const log = createLogger('test', 'info', { write: (line) => void lines.push(JSON.parse(line)) })
const optionsFor = (port: number, given: Partial<EmailOptions> = {}): EmailOptions => ({
  name: 'mail',
  host: '127.0.0.1',
  port,
  security: 'none',
  from: 'Pumps <pumps@example.org>',
  to: ['a@example.org', 'b@example.org'],
  timeoutMs: ATTEMPT_MS,
  ...given,
})
const create = (port: number, given: Partial<EmailOptions> = {}) =>
  emailNotifier(optionsFor(port, given), { clock: systemClock, log })

describeNotifier<SmtpBehaviour>('email', {
  create: (address) => create(Number(address.split(':')[1])),
  start: async (behave) => {
    const receiver = await startSmtpReceiver(behave)
    return { address: receiver.address, taken: () => receiver.taken.map(({ source }) => source), close: receiver.close }
  },
  taken: 'take',
  never: [{ code: 550 }, { code: 552 }, { code: 554 }, { code: 550, recipients: ['a@example.org', 'b@example.org'] }],
  later: [
    { code: 451 },
    { code: 421 },
    { code: 530 },
    { code: 550, isOfSender: true },
    { code: 450, recipients: ['a@example.org', 'b@example.org'] },
    { code: 452, recipients: ['b@example.org'] },
    'destroy',
  ],
  hang: 'hang',
})

let receiver: SmtpReceiver | undefined
const undo: (() => unknown)[] = []
afterEach(async () => {
  await receiver?.close()
  for (const one of undo.splice(0)) await one()
  lines.length = 0
})

test('an episode is one thread under one subject, and a repeat is the same mail', async () => {
  receiver = await startSmtpReceiver(() => 'take')
  const notifier = create(receiver.port, { dashboardUrl: 'https://grafana.example.org' })
  await notifier.send(exampleNotification(), signal)
  await notifier.send(exampleNotification(), signal)
  const queuedAtMs = Date.UTC(2026, 0, 31, 14, 9)
  await notifier.send({ ...exampleNotification({ state: 'resolved', value: 3 }), queuedAtMs }, signal)
  const [first, again, end] = receiver.taken.map(({ headers }) => headers)
  expect(first).toMatchObject({
    from: 'Pumps <pumps@example.org>',
    to: 'a@example.org, b@example.org',
    subject: '[CRITICAL] plant/pump-1: Vibration velocity (RMS)',
    'message-id': '<0123456789abcdef.firing@example.org>',
    date: 'Sat, 31 Jan 2026 14:03:20 +0000',
    'auto-submitted': 'auto-generated',
    importance: 'High',
  })
  expect(first?.['in-reply-to']).toBeUndefined()
  expect({ ...again, 'content-type': '' }).toEqual({ ...first, 'content-type': '' })
  expect(end).toMatchObject({
    subject: `Re: ${first?.['subject']}`,
    'message-id': '<0123456789abcdef.resolved@example.org>',
    'in-reply-to': first?.['message-id'],
    references: first?.['message-id'],
    date: 'Sat, 31 Jan 2026 14:09:00 +0000',
  })
  const [mail] = receiver.taken
  expect(mail?.recipients).toEqual(['a@example.org', 'b@example.org'])
  const source = mail?.source.replaceAll('=\r\n', '').replaceAll('=3D', '=') ?? ''
  expect(source).toContain('Value: 7.9 mm/s')
  expect(source).toContain('<td>Feed pump (pump-1)</td>')
  expect(source).toMatch(/<a href="https:\/\/grafana\.example\.org\/d\/tributary-vibration\?from=\d+&amp;to=/)
})

test('a digest of several sites is a mail of its own, also when all in it is over', async () => {
  receiver = await startSmtpReceiver(() => 'take')
  const all = { site: '*', device: '*', field: '', kind: '', label: '', rule: 'digest' }
  const notification = exampleNotification({ ...all, state: 'resolved' })
  await create(receiver.port).send({ ...notification, reason: 'digest', episodes: [] }, signal)
  expect(receiver.taken[0]?.headers).toMatchObject({ subject: '[CRITICAL] digest' })
  expect(receiver.taken[0]?.headers['in-reply-to']).toBeUndefined()
})

test('what comes from outside is text: in headers and in HTML', async () => {
  receiver = await startSmtpReceiver(() => 'take')
  const place = { name: '<img src=x onerror=alert(1)>', line: '', location: 'a\r\nBcc: evil@example.org' }
  const label = 'Speed\r\nBcc: evil@example.org'
  await create(receiver.port, { title: '{{label}} {{location}}' }).send(exampleNotification({ place, label }), signal)
  const [mail] = receiver.taken
  expect(mail?.headers['subject']).toBe('Speed Bcc: evil@example.org a Bcc: evil@example.org')
  expect(mail?.headers['bcc']).toBeUndefined()
  expect(mail?.recipients).toEqual(['a@example.org', 'b@example.org'])
  const source = mail?.source.replaceAll('=\r\n', '').replaceAll('=3D', '=') ?? ''
  expect(source.slice(source.indexOf('<html>'))).not.toContain('<img')
  expect(source).toContain('&lt;img src=x onerror=alert(1)&gt;')
})

test('who has a mail does not get it again because another has not', async () => {
  const refusals: SmtpBehaviour[] = [{ code: 450, recipients: ['b@example.org'] }, 'take']
  receiver = await startSmtpReceiver((n) => refusals[n] as SmtpBehaviour)
  const notifier = create(receiver.port)
  await expect(notifier.send(exampleNotification(), signal)).rejects.toThrow(/did not take it for all: 450/)
  await notifier.send(exampleNotification(), signal)
  expect(receiver.taken.map(({ recipients }) => recipients)).toEqual([['a@example.org'], ['b@example.org']])
  expect(receiver.taken[1]?.headers['to']).toBe('a@example.org, b@example.org')
})

test('also when recipients are written with their names, in capitals', async () => {
  const refusals: SmtpBehaviour[] = [{ code: 450, recipients: ['B@example.org'] }, 'take']
  receiver = await startSmtpReceiver((n) => refusals[n] as SmtpBehaviour)
  const notifier = create(receiver.port, { to: ['Shift <a@example.org>', 'Chief <B@Example.ORG>'] })
  await expect(notifier.send(exampleNotification(), signal)).rejects.toThrow(/did not take it for all/)
  await notifier.send(exampleNotification(), signal)
  expect(receiver.taken.map(({ recipients }) => recipients)).toEqual([['a@example.org'], ['B@example.org']])
})

test('a recipient who is refused for good is named, and the others have the mail', async () => {
  receiver = await startSmtpReceiver(() => ({ code: 550, recipients: ['b@example.org'] }))
  await create(receiver.port).send(exampleNotification(), signal)
  expect(receiver.taken.map(({ recipients }) => recipients)).toEqual([['a@example.org']])
  expect(lines).toEqual([
    expect.objectContaining({ level: 'error', recipient: 'b@example.org', msg: expect.stringContaining('550') }),
  ])
})

describe('security', () => {
  const certificate = selfSigned()
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-mail-'))
    await writeFile(join(folder, 'ca.pem'), certificate.cert)
  })
  afterAll(() => rm(folder, { recursive: true }))
  const account = { username: 'pumps', password: 'a password' }
  const withAccount = (more: Parameters<typeof startSmtpReceiver>[1] = {}) =>
    startSmtpReceiver(() => 'take', {
      ...certificate,
      authOptional: false,
      onAuth: ({ username, password }, _session, callback) =>
        username === account.username && password === account.password
          ? callback(null, { user: username })
          : callback(Object.assign(new Error('bad credentials'), { responseCode: 535 })),
      ...more,
    })

  for (const [security, secure] of [
    ['starttls', false],
    ['tls', true],
  ] as const)
    test(`${security}: a real handshake, the certificate checked, logged in`, async () => {
      receiver = await withAccount({ secure })
      const caFile = join(folder, 'ca.pem')
      const answer = await create(receiver.port, { security, caFile, ...account }).send(exampleNotification(), signal)
      expect(answer).toMatch(/^127\.0\.0\.1:\d+ answered 250/)
      expect(receiver.taken).toMatchObject([{ isSecure: true, user: 'pumps' }])
      const unknown = create(receiver.port, { security, ...account }).send(exampleNotification(), signal)
      await expect(unknown).rejects.toThrow(/self-signed certificate/)
      await expect(unknown).rejects.not.toBeInstanceOf(PermanentError)
      const refused = create(receiver.port, { security, caFile, ...account, password: 'wr0ng' })
      const error = await refused.send(exampleNotification(), signal).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(AccessRefusedError)
      expect((error as Error).message).toMatch(/535 .*\(check notifier "mail"\)/)
      expect(`${(error as Error).stack} ${JSON.stringify(error)}`).not.toContain('wr0ng')
      expect(receiver.taken).toHaveLength(1)
    })

  test('without STARTTLS at the server nothing is sent in clear', async () => {
    receiver = await startSmtpReceiver(() => 'take')
    const sent = create(receiver.port, { security: 'starttls', ...account }).send(exampleNotification(), signal)
    await expect(sent).rejects.toThrow(/STARTTLS/i)
    expect(receiver.taken).toEqual([])
  })

  test('a server that wants nobody at present is tried again, and a person is told', async () => {
    const closed = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.end('554 no service here\r\n')
    })
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', () => resolve()))
    undo.push(() => closed.close())
    const { port } = closed.address() as { port: number }
    const sent = create(port).send(exampleNotification(), signal)
    await expect(sent).rejects.toBeInstanceOf(AccessRefusedError)
    await expect(sent).rejects.toThrow(/554 no service here \(check notifier "mail"\)/)
  })

  test('a server that greets nobody is given up in time', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', () => resolve()))
    undo.push(() => silent.close())
    const { port } = silent.address() as { port: number }
    const fromMs = systemClock.monotonicMs()
    await expect(create(port).send(exampleNotification(), signal)).rejects.toThrow(`127.0.0.1:${port}`)
    expect(systemClock.monotonicMs() - fromMs).toBeLessThan(5 * ATTEMPT_MS)
  })
})
