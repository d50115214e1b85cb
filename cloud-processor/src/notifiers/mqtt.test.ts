import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { selfSigned } from '@tributary/runtime/testing'
import { afterEach, expect, test } from 'vitest'
import { exampleNotification } from './example-notification.ts'
import { type MqttOptions, mqttNotifier } from './mqtt.ts'
import { type MqttBehaviour, type MqttReceiver, startMqttReceiver } from './mqtt-receiver-harness.ts'
import { ATTEMPT_MS, describeNotifier } from './notifier.conformance.ts'
import { AccessRefusedError } from './notifier.ts'
import { payloadOf } from './payload.ts'

const signal = new AbortController().signal
const create = (url: string, given: Partial<MqttOptions> = {}) =>
  mqttNotifier(
    {
      name: 'bus',
      url,
      clientId: 'alerts',
      topic: 'tributary/alerts/{{site}}/{{device}}/{{rule}}',
      retain: false,
      timeoutMs: ATTEMPT_MS,
      ...given,
    },
    { clock: systemClock },
  )

describeNotifier<MqttBehaviour>('mqtt', {
  create,
  start: async (behave) => {
    const receiver = await startMqttReceiver(behave)
    return { address: receiver.url, taken: () => receiver.taken.map(({ payload }) => payload), close: receiver.close }
  },
  taken: 'take',
  never: [],
  later: ['refuse', 'destroy'],
  hang: 'hang',
})

let receiver: MqttReceiver | undefined
afterEach(() => receiver?.close())

test('the documented JSON at QoS 1, on a topic of which each part is one level', async () => {
  receiver = await startMqttReceiver(() => 'take')
  const notification = exampleNotification({ place: { name: 'a/b +#', line: '', location: '' } })
  const topic = 'alerts/{{name}}/{{line}}/{{device}}'
  expect(await create(receiver.url, { topic, retain: true }).send(notification, signal)).toMatch(
    /^127\.0\.0\.1:\d+ acknowledged alerts\/a_b __\/_\/pump-1$/,
  )
  expect(receiver.taken).toMatchObject([{ topic: 'alerts/a_b __/_/pump-1', qos: 1, retain: true }])
  expect(JSON.parse(receiver.taken[0]?.payload ?? '')).toEqual(payloadOf(notification))
})

test('several at once are not taken for one client', async () => {
  receiver = await startMqttReceiver(() => 'take')
  const notifier = create(receiver.url)
  await Promise.all([1, 2, 3, 4].map((i) => notifier.send({ ...exampleNotification(), key: `e${i}/firing` }, signal)))
  expect(receiver.taken).toHaveLength(4)
})

test('refused credentials are said, without the password', async () => {
  receiver = await startMqttReceiver(() => 'refuse')
  const sent = create(receiver.url, { username: 'u', password: 'wr0ng' }).send(exampleNotification(), signal)
  await expect(sent).rejects.toBeInstanceOf(AccessRefusedError)
  await expect(sent).rejects.toThrow(/refuses the credentials \(check username and password of notifier "bus"\)/)
})

test('over TLS the certificate is checked', async () => {
  const certificate = selfSigned()
  const folder = await mkdtemp(join(tmpdir(), 'tributary-mqtt-'))
  await writeFile(join(folder, 'ca.pem'), certificate.cert)
  receiver = await startMqttReceiver(() => 'take', { tls: certificate })
  await create(receiver.url, { caFile: join(folder, 'ca.pem') }).send(exampleNotification(), signal)
  await expect(create(receiver.url).send(exampleNotification(), signal)).rejects.toThrow(/self-signed certificate/)
  expect(receiver.taken).toHaveLength(1)
  await rm(folder, { recursive: true })
})
