/** Our nodes in a real flow: samples out of the gateway and derived ones back into it, alerts both ways, and what a flood does. */
import { connectAgent, drainStream, publishBatch } from '@tributary/gateway/testing'
import { decodeBatch } from '@tributary/protocol'
import type { MqttClient } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { climateBatch, logIn, type Site, startSite, until } from './testing.ts'

const wire = (id: string, type: string, more: object) => ({ id, type, z: 'tab', x: 0, y: 0, ...more })
const toFunction = (id: string, func: string, wires: string[]) =>
  wire(id, 'function', { func, outputs: 1, wires: [wires], libs: [], initialize: '', finalize: '', timeout: 0 })
const FLOWS = [
  { id: 'tab', type: 'tab', label: 'test' },
  wire('in', 'tributary in', {
    kind: 'climate',
    device: 'room-1',
    every: 0.1,
    fold: 'mean',
    wires: [['double', 'keep']],
  }),
  toFunction(
    'double',
    "return { ...msg, device: msg.device + '-double', payload: { temperature_c: msg.payload.temperature_c * 2 } }",
    ['out'],
  ),
  wire('out', 'tributary out', { wires: [['stored']] }),
  toFunction('stored', "flow.set('stored', (flow.get('stored') || 0) + 1)", []),
  toFunction('keep', "flow.set('last', msg)", []),
  wire('alert', 'tributary alert', { severity: '', wires: [['told']] }),
  toFunction(
    'told',
    "flow.set('told', [...(flow.get('told') || []), msg.state + ' ' + msg.severity + ' ' + msg.payload])",
    [],
  ),
  wire('failed', 'catch', { scope: ['out'], wires: [['failures']] }),
  toFunction('failures', "flow.set('failures', (flow.get('failures') || 0) + 1)", []),
  // What a test asks the flow for.
  wire('ask', 'http in', { url: '/flow', method: 'get', wires: [['answer']] }),
  toFunction('answer', 'msg.payload = Object.fromEntries(flow.keys().map((key) => [key, flow.get(key)])); return msg', [
    'response',
  ]),
  wire('response', 'http response', { wires: [] }),
  wire('raise', 'http in', { url: '/alert', method: 'post', wires: [['alert', 'response']] }),
  wire('flood', 'http in', { url: '/flood', method: 'post', wires: [['many', 'response']] }),
  toFunction(
    'many',
    "for (let i = 0; i < 20000; i++) node.send({ device: 'flood', kind: 'climate', payload: { temperature_c: 1 } })",
    ['out'],
  ),
]

let site: Site
let agent: MqttClient
let cookie: string

beforeAll(async () => {
  site = await startSite({ flows: FLOWS })
  agent = await connectAgent(site.gateway.mqttPort, 'agent-1')
  cookie = (await logIn(site.url, site.password)) as string
}, 120_000)
afterAll(async () => {
  await agent?.endAsync()
  await site?.stop()
})

interface FlowState {
  last?: { payload: Record<string, number>; device: string; agent: string; samples: number }
  stored?: number
  told?: string[]
  failures?: number
}
const flow = async () => (await (await fetch(`${site.url}/flow`, { headers: { cookie } })).json()) as FlowState
const post = (path: string, body: object = {}) =>
  fetch(`${site.url}${path}`, {
    method: 'POST',
    headers: { cookie, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
const siteAgent = () => site.gateway.status().agents.find(({ agent }) => agent === 'gw-1-site')

test('a sample comes into the flow, and what is made of it goes through admission as an agent of its own', async () => {
  await publishBatch(agent, 'agent-1', climateBatch(1, { temperature_c: 21, humidity_percent: 50 }))
  await until('it is in the flow', async () => (await flow()).last !== undefined)
  expect((await flow()).last).toMatchObject({
    device: 'room-1',
    agent: 'agent-1',
    samples: 1,
    payload: { temperature_c: 21, humidity_percent: 50 },
  })
  await until('it is on the disk', async () => (await flow()).stored === 1)
  expect(siteAgent()).toMatchObject({ batches: 1, readings: 1, connected: true })
  await until('it was forwarded', () => site.gateway.status().backlog.batches === 0)
  const derived = (await drainStream(site.natsUrl))
    .map(({ data }) => decodeBatch(data))
    .filter(({ header }) => header.agent === 'gw-1-site')
  expect(derived.flatMap(({ blocks }) => blocks)).toMatchObject([{ device: 'room-1-double', kind: 'climate' }])
  expect(derived[0]?.blocks[0]?.columns[0]?.values[0]).toBe(42)
})

test('alerts of the site reach the flow, and those of the flow the site', async () => {
  await publishBatch(agent, 'agent-1', climateBatch(2, { temperature_c: 47 }))
  await until('opened', async () =>
    Boolean((await flow()).told?.some((text) => text === 'open critical room-1 Temperature: 47.00 °C, above 45.00 °C')),
  )
  await publishBatch(agent, 'agent-1', climateBatch(3, { temperature_c: 20 }))
  await until('closed', async () =>
    Boolean((await flow()).told?.some((text) => text.startsWith('closed critical room-1 Temperature'))),
  )
})

test('a flood of a flow is held at the gateway’s rate: what does not fit is dropped, counted, and told to the flow', async () => {
  const before = siteAgent()?.readings ?? 0
  await post('/flood')
  await until('the flow was told', async () => ((await flow()).failures ?? 0) > 10_000)
  await until('the rest is stored', async () => {
    const { stored = 0, failures = 0 } = await flow()
    return stored - 3 + failures >= 20_000
  })
  const { stored = 0, failures = 0 } = await flow()
  const taken = (siteAgent()?.readings ?? 0) - before
  expect(taken, 'what the flow was told is what the gateway has').toBe(stored - 3)
  expect(failures).toBe(20_000 - taken)
  expect(await site.process.rssBytes()).toBeLessThan(400 * 2 ** 20)
  await publishBatch(agent, 'agent-1', climateBatch(4, { temperature_c: 22 }))
  await until('it goes on', async () => (await flow()).last?.payload['temperature_c'] === 22)
}, 60_000)
