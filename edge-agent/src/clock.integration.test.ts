/** A real agent process whose wall clock lies: it starts in 1970, and jumps by a year. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Batch } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { fakedWallClock, findLibfaketime } from '@tributary/stack'
import mqtt from 'mqtt'
import { afterEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { buildAgent } from '../build.ts'
import type { AgentStatus } from './status.ts'
import { freePort, startAgentProcess, startBroker, startGateway, temporaryFolder, until } from './testing.ts'

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** The fastest message tells how wrong a clock is; the others were slow. */
const ERROR_MS_MAX = 100
const EARLY_MS_MAX = 10

interface Taken {
  readonly sequence: number
  readonly sentMs: number
  readonly timeMs: number
  readonly batch: Batch
}
function taken(batches: readonly Batch[], device: string): Taken[] {
  return batches.flatMap((batch) =>
    batch.blocks
      .filter((block) => block.device === device)
      .flatMap(({ timesMs, columns }) => {
        const numbers = (name: string) => columns.find(({ field }) => field === name)?.values as Float64Array
        return Array.from(timesMs, (timeMs, i) => ({
          timeMs,
          batch,
          sequence: numbers('sequence')[i] as number,
          sentMs: numbers('sent_ms')[i] as number,
        }))
      }),
  )
}
function expectRight(samples: readonly Taken[]): void {
  const latenciesMs = samples.map(({ timeMs, sentMs }) => timeMs - sentMs)
  expect(Math.min(...latenciesMs)).toBeGreaterThanOrEqual(-EARLY_MS_MAX)
  expect(Math.min(...latenciesMs)).toBeLessThanOrEqual(ERROR_MS_MAX)
}

test('an agent that wakes up in 1970 without a link, restarts, and has its clock set by a year', async () => {
  const folder = temporaryFolder()
  const bundle = await buildAgent(join(temporaryFolder(), 'agent'))
  const broker = await startBroker()
  cleanUps.push(() => broker.stop())
  const [gatewayPort, adminPort] = [await freePort(), await freePort()]
  const configFile = join(folder, 'agent.yaml')
  const topics = [{ pattern: 'sensors/{device}', kind: 'probe' }]
  writeFileSync(
    configFile,
    stringify({
      agent: 'pi-1',
      spool: { folder: join(folder, 'spool'), budget: '64MiB', free_disk: '1MiB', durability: '20ms' },
      gateway: { url: `mqtt://127.0.0.1:${gatewayPort}` },
      admin: { listen: `127.0.0.1:${adminPort}` },
      inputs: [{ name: 'sensors', type: 'mqtt', url: `mqtt://127.0.0.1:${broker.port}`, topics }],
    }),
  )
  const offsetFile = join(folder, 'wall-clock')
  const setWallClock = (offset: string) => writeFileSync(offsetFile, offset)
  const in1970 = `-${Math.floor(systemClock.wallMs() / 1_000) - 100}`
  const environment = fakedWallClock(await findLibfaketime(), offsetFile)
  const start = () => {
    const agent = startAgentProcess(bundle, ['--config', configFile], environment)
    cleanUps.push(async () => {
      agent.child.kill('SIGKILL')
      await agent.exited
    })
    return agent
  }
  const status = async () => {
    const answer = await fetch(`http://127.0.0.1:${adminPort}/status`).catch(() => undefined)
    return answer && ((await answer.json()) as AgentStatus)
  }
  const sensors = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`)
  cleanUps.push(() => sensors.endAsync(true))
  let sequence = 0
  const publish = async (count: number) => {
    for (let i = 0; i < count; i++) {
      sequence++
      const sent_ms = systemClock.wallMs()
      const say = (device: string, sample: object) =>
        sensors.publishAsync(`sensors/${device}`, JSON.stringify({ sequence, sent_ms, ...sample }), { qos: 1 })
      await Promise.all([say('timeless', {}), say('timed', { time_ms: sent_ms - 86_400_000 })])
      await systemClock.sleep(25)
    }
  }
  const isOpen = async () => (await status())?.inputs[0]?.state === 'open'

  // 1970, and no gateway.
  setWallClock(in1970)
  const first = start()
  await until('the input is open', isOpen)
  await publish(40)
  await until('all were taken', async () => (await status())?.inputs[0]?.samples === 80)
  expect((await status())?.clock).toMatchObject({
    trusted: false,
    holding: true,
    detail: 'not set: readings are being held and will be corrected',
  })
  // The agent dies before anybody told it the time, and starts again in this boot.
  first.child.kill('SIGKILL')
  await first.exited
  setWallClock('-100d')
  const second = start()
  await until('the input is open', isOpen)
  await publish(20)

  // The gateway comes.
  const gateway = await startGateway({ port: gatewayPort })
  cleanUps.push(() => gateway.stop())
  const received = (device: string) => taken(gateway.batches, device).sort((a, b) => a.sequence - b.sequence)
  await until('all arrived', () => new Set(received('timeless').map((one) => one.sequence)).size === 60, 30_000)
  const held = received('timeless')
  expectRight(held.slice(0, 40))
  expectRight(held.slice(40))
  expect(new Set(held.slice(0, 40).map(({ batch }) => batch.header.clockQuality))).toEqual(new Set(['corrected']))
  const times = held.map(({ timeMs }) => timeMs)
  expect(times).toEqual([...times].sort((a, b) => a - b))
  for (const { batch } of held)
    expect(batch.header.completeThroughMs).toBeGreaterThan((held[0]?.sentMs as number) - 60_000)
  expect((await status())?.clock).toMatchObject({ trusted: true, by: 'gateway', untrustedReadings: 0 })
  expect((await status())?.clock.detail).toMatch(/^trusted by gateway, offset [−+]\d+ ms$/)
  expect((await status())?.clock.correctedReadings).toBeGreaterThanOrEqual(80)

  // Somebody sets the clock, ahead and back.
  for (const offset of ['+1y', '-1y', in1970, '+0']) {
    const before = sequence
    setWallClock(offset)
    await publish(20)
    await until(`all arrived at ${offset}`, () => (received('timeless').at(-1)?.sequence ?? 0) === sequence)
    const now = received('timeless').filter((one) => one.sequence > before)
    expectRight(now)
    for (const { batch, sentMs } of now) {
      const { clockQuality, lane, createdAtMs, completeThroughMs } = batch.header
      expect({ clockQuality, lane }).toEqual({ clockQuality: 'trusted', lane: 'live' })
      expect(Math.abs(createdAtMs - sentMs)).toBeLessThan(10_000)
      // Inputs that were opened a moment ago hold the promise, for a minute at most.
      expect(createdAtMs - completeThroughMs).toBeGreaterThanOrEqual(1_000)
      expect(createdAtMs - completeThroughMs).toBeLessThan(70_000)
    }
  }
  // It dies and starts again in a wrong year: this boot's time is known.
  second.child.kill('SIGKILL')
  await second.exited
  setWallClock('+1y')
  const before = sequence
  start()
  await until('the input is open', isOpen)
  await publish(10)
  await until('all arrived', () => (received('timeless').at(-1)?.sequence ?? 0) === sequence)
  const last = received('timeless').filter((one) => one.sequence > before)
  expectRight(last)
  expect(new Set(last.map(({ batch }) => batch.header.clockQuality))).toEqual(new Set(['trusted']))
  // A device's own time was never touched.
  for (const { timeMs, sentMs } of received('timed')) expect(timeMs).toBe(sentMs - 86_400_000)
}, 120_000)
