/** Alerts in groups, with real servers: people are told of several at once, and Alertmanager, which groups by itself, of each. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeBatch, telemetrySubject } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Receiver, startReceiver } from './notifiers/receiver.ts'
import { type Surroundings, startSurroundings } from './processor-harness.ts'
import { batchOf, blockOf } from './testing.ts'

const CONTRACT = `kind: tank
version: 1
description: A tank.
interval: 1s
fields:
  level: { type: float, label: Level, unit: "%", decimals: 1 }
thresholds:
  - { field: level, above: 90 }
`
let people: Receiver
let alertmanager: Receiver
let surroundings: Surroundings | undefined
beforeAll(async () => {
  people = await startReceiver(() => ({ status: 200 }))
  alertmanager = await startReceiver(() => ({ status: 200 }))
  surroundings = await startSurroundings('groups', async (folder) => {
    await mkdir(join(folder, 'contracts'))
    await writeFile(join(folder, 'contracts', 'tank.yaml'), CONTRACT)
    await writeFile(join(folder, 'alerts.yaml'), 'group: { wait: 1s, interval: 1m }\nlimit: { per_hour: 1 }\n')
    return `contracts: contracts
alerts: alerts.yaml
checkpoint: { folder: state, interval: 50ms }
notifiers:
  - { name: people, type: webhook, url: "${people.url}" }
  - { name: am, type: alertmanager, url: "${alertmanager.url}", repeat: 1h }
`
  })
})
afterAll(async () => {
  await surroundings?.stop()
  await people?.close()
  await alertmanager?.close()
})
const bodies = ({ taken }: Receiver) => taken.map(({ body }) => JSON.parse(body))

test('two tanks run over: one word to people, two alerts to Alertmanager, at once and beyond the limit', async () => {
  const timeMs = Math.floor(systemClock.wallMs())
  const blocks = ['tank-1', 'tank-2'].map((device) => blockOf(device, 'tank', [{ timeMs, values: { level: 95.5 } }]))
  const batch = batchOf({ sequence: 1, blocks, completeThroughMs: timeMs, readingsBefore: 0 })
  await surroundings?.client.publish(telemetrySubject('yard', 'agent-a'), encodeBatch(batch))
  const alerts = () => bodies(alertmanager).flat()
  await expect.poll(() => alerts().length, { timeout: 30_000 }).toBe(2)
  expect(alerts().map(({ labels }) => `${labels.alertname} ${labels.device}`)).toEqual([
    'tank.level.threshold_above_90 tank-1',
    'tank.level.threshold_above_90 tank-2',
  ])
  expect(people.taken).toEqual([])
  await expect.poll(() => people.taken.length, { timeout: 30_000 }).toBe(1)
  const [said] = bodies(people)
  expect(said).toMatchObject({ reason: 'group', device: '*', value: 2 })
  expect(said.episodes.map(({ device }: { device: string }) => device)).toEqual(['tank-1', 'tank-2'])
}, 90_000)
