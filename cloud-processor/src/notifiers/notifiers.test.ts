import { createHmac, timingSafeEqual } from 'node:crypto'
import { createLogger, parseConfig, systemClock } from '@tributary/runtime'
import { afterEach, describe, expect, test } from 'vitest'
import { exampleNotification } from './example-notification.ts'
import { createNotifiers, notifiersSchema, payloadOf } from './index.ts'
import { describeNotifier } from './notifier.conformance.ts'
import { type Receiver, startReceiver } from './receiver.ts'
import { webhookNotifier } from './webhook.ts'

const SECRET = 'a secret of some length'
const signal = new AbortController().signal

describeNotifier('webhook', {
  create: (url) => webhookNotifier({ name: 'people', url, secret: SECRET, timeoutMs: 500 }, { clock: systemClock }),
  taken: { status: 204 },
  never: [{ status: 400 }, { status: 404, body: 'no such hook' }, { status: 410 }, { status: 413 }, { status: 422 }],
  later: [
    { status: 401 },
    { status: 403 },
    { status: 425 },
    { status: 500 },
    { status: 503 },
    { status: 408 },
    { status: 429 },
    { status: 302, headers: { location: '/' } },
  ],
})

describe('webhook', () => {
  let receiver: Receiver | undefined
  afterEach(() => receiver?.close())

  test('posts the documented JSON, with key and own headers', async () => {
    receiver = await startReceiver(() => ({ status: 200, body: 'thanks' }))
    const headers = { Authorization: 'Bearer x', 'Content-Type': 'text/plain' }
    const notifier = webhookNotifier(
      { name: 'people', url: receiver.url, timeoutMs: 5_000, headers },
      { clock: systemClock },
    )
    await notifier.send(exampleNotification(), signal)
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
    })
  })

  test('signs each attempt anew, so that a receiver can check it', async () => {
    receiver = await startReceiver((n) => ({ status: n === 0 ? 500 : 200 }))
    let wallMs = 1_770_000_000_500
    const clock = { ...systemClock, wallMs: () => wallMs }
    const notifier = webhookNotifier({ name: 'people', url: receiver.url, secret: SECRET, timeoutMs: 5_000 }, { clock })
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
    receiver = await startReceiver(() => ({ status: 403, body: `wrong\n  token ${'x'.repeat(1_000_000)}` }))
    const notifier = webhookNotifier({ name: 'people', url: receiver.url, timeoutMs: 5_000 }, { clock: systemClock })
    await expect(notifier.send(exampleNotification(), signal)).rejects.toThrow(
      /^127\.0\.0\.1:\d+ answered 403: wrong token x+ \(check url, headers and secret of notifier "people"\)$/,
    )
  })
})

test('log: one line, with what a receiver would be told', async () => {
  const lines: string[] = []
  const log = createLogger('test', 'info', { write: (line) => void lines.push(line) })
  const [notifier] = createNotifiers(notifiersSchema.parse([{ type: 'log', name: 'journal' }]), {
    clock: systemClock,
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
  expect(payloadOf(exampleNotification()).version).toBe(1)
})

describe('notifiers in the config', () => {
  test('are created by type, with defaults', () => {
    const yaml = `
- { type: log, name: journal }
- { type: webhook, name: people, url: "https://example.org/hook", secret: "\${SECRET}", timeout: 3s }
`
    const configs = parseConfig('x', yaml, notifiersSchema, { SECRET })
    expect(configs[1]).toEqual({
      type: 'webhook',
      name: 'people',
      url: 'https://example.org/hook',
      secret: SECRET,
      timeout: 3_000,
      headers: {},
    })
    const log = createLogger('test', 'silent')
    expect(createNotifiers(configs, { clock: systemClock, log }).map(({ name }) => name)).toEqual(['journal', 'people'])
  })
  test('mistakes are named', () => {
    const yaml = `
- { type: webhook, name: a, url: "ftp://example.org", secret: short }
- { type: pigeon, name: b }
- { type: log, name: c }
- { type: log, name: C }
`
    expect(() => parseConfig('x', yaml, notifiersSchema, {})).toThrow(
      /\[0\]\.url: must be an http or https address[\s\S]*\[0\]\.secret: must have at least 16 characters[\s\S]*\[1\]\.type[\s\S]*\[3\]\.name: must be lower-case/,
    )
    expect(() => parseConfig('x', '[{ type: log, name: a }, { type: log, name: a }]', notifiersSchema, {})).toThrow(
      '[1].name: must be a name that no other notifier has',
    )
  })
})
