/** A receiver that takes nothing, with real servers: the other one is told of it, as of any alert, and by links that lead to the dashboard. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeBatch, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { NotificationPayload } from './notifiers/index.ts'
import { type Behaviour, type Receiver, startReceiver } from './notifiers/receiver.ts'
import { CONTRACTS, type Surroundings, startSurroundings } from './processor-harness.ts'
import { batchOf, blockOf } from './testing.ts'

const CONTRACT = `kind: tank
version: 1
description: A tank.
interval: 1s
fields:
  level: { type: float, label: Level, unit: "%", decimals: 1 }
thresholds:
  - { field: level, above: 90, severity: warning }
`
let behaviour: Behaviour = { status: 400, body: 'no such field' }
let gone: Receiver
let alive: Receiver
let surroundings: Surroundings | undefined
beforeAll(async () => {
  gone = await startReceiver(() => behaviour)
  alive = await startReceiver(() => ({ status: 200 }))
  surroundings = await startSurroundings('receivers', async (folder) => {
    await mkdir(join(folder, 'contracts'))
    await writeFile(join(folder, 'contracts', 'tank.yaml'), CONTRACT)
    await copyFile(join(CONTRACTS, 'processor_health.yaml'), join(folder, 'contracts', 'processor_health.yaml'))
    return `contracts: contracts
checkpoint: { folder: state, interval: 50ms }
dashboard_url: http://grafana.example.org
notifiers:
  - { name: gone, type: webhook, url: "${gone.url}" }
  - { name: alive, type: webhook, url: "${alive.url}" }
`
  })
})
afterAll(async () => {
  await surroundings?.stop()
  await gone?.close()
  await alive?.close()
})
const payloads = ({ taken }: Receiver) => taken.map(({ body }) => JSON.parse(body) as NotificationPayload)
const toldOf = (receiver: Receiver, field: string) => payloads(receiver).filter((one) => one.field === field)
async function until(what: string, isDone: () => boolean | Promise<boolean>): Promise<void> {
  const untilMs = systemClock.monotonicMs() + 45_000
  while (!(await isDone())) {
    if (systemClock.monotonicMs() > untilMs) throw new Error(`${what} did not come true`)
    await systemClock.sleep(100)
  }
}
async function fill(device: string, sequence: number): Promise<void> {
  const timeMs = Math.floor(systemClock.wallMs())
  const blocks = [blockOf(device, 'tank', [{ timeMs, values: { level: 95.5 } }])]
  const batch = batchOf({ sequence, blocks, completeThroughMs: timeMs, readingsBefore: sequence - 1 })
  await surroundings?.client.publish(telemetrySubject('yard', 'agent-a'), encodeBatch(batch))
}

test('who refuses for good is told of to the others, until it takes something', { timeout: 120_000 }, async () => {
  await fill('tank-1', 1)
  await until('the living one is told of the tank', () => toldOf(alive, 'level').length === 1)
  expect(toldOf(alive, 'level')[0]?.link).toMatch(
    /^http:\/\/grafana\.example\.org\/d\/tributary-tank\?from=\d+&to=\d+&var-site=yard&var-device=tank-1$/,
  )
  await until('and of the other one', () => toldOf(alive, 'receivers_failing').length === 1)
  expect(toldOf(alive, 'receivers_failing')[0]).toMatchObject({
    state: 'firing',
    severity: 'critical',
    device: 'processor-1',
    value: 1,
    message: expect.stringContaining('Receivers that take no notifications'),
  })
  const status = async () => (await fetch(`${surroundings?.admin}/status`)).json() as Promise<Record<string, unknown>>
  expect((await status())['failingReceivers']).toMatchObject([
    { receiver: 'gone', lastError: expect.stringMatching(/answered 400: no such field/) },
  ])
  behaviour = { status: 200 }
  await fill('tank-2', 2)
  await until('it takes something', () => toldOf(gone, 'level').length === 1)
  await until('nobody is failing', async () => JSON.stringify((await status())['failingReceivers']) === '[]')
})
