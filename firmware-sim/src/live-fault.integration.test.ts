import { existsSync, lstatSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { describe, expect, it } from 'vitest'
import { readLedgerEvents } from './ledger-reader.ts'
import type { Simulator } from './simulator.ts'
import { openTestHost, type TestHost } from './test-host.ts'
import {
  expectTrue,
  folder,
  host,
  ledger,
  MQTT,
  opened,
  SERIAL,
  samplesOf,
  sequences,
  simulate,
  subscriber,
  until,
  upTo,
} from './test-site.ts'

const ask = async (simulator: Simulator, body: unknown, headers: Record<string, string> = {}) => {
  const response = await fetch(`${simulator.state.adminUrl}/fault`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}
const NAMED = [
  { name: 'left', class: 'pump', serial: { framing: 'json', announce: true } },
  { name: 'right', class: 'tank', serial: { framing: 'json', announce: true } },
]
const faultEvents = async () =>
  (await readLedgerEvents(join(folder, 'ledger'))).flatMap((e) => (e.type === 'fault' ? [`${e.device} ${e.kind}`] : []))

describe('POST /fault', () => {
  it('unplug until replug: no link meanwhile, then a new terminal, nothing lost, and the ledger says so', async () => {
    const simulator = await simulate({ devices: SERIAL.slice(0, 1) }, { durationMs: 2_000 })
    const path = simulator.state.ports['pump-1'] as string
    const first = await host(simulator, 'pump-1')
    const { status, body } = await ask(simulator, { fault: 'unplug', device: 'pump-1' })
    expect([status, body['devices']]).toEqual([200, ['pump-1']])
    await until('hang-up', () => first.unplugged)
    await until('no link', () => !existsSync(path))
    await systemClock.sleep(300)
    expect(existsSync(path)).toBe(false)
    expect((await ask(simulator, { fault: 'replug' })).status).toBe(200)
    await until('a link again', () => existsSync(path))
    const second = await host(simulator, 'pump-1')
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    expect(sequences([...first.samples, ...second.samples])).toEqual(upTo(20))
    expect(await faultEvents()).toEqual(['pump-1 unplug'])
    expect(simulator.status().lostSamples).toBe(0)
  })

  it('swap: each device speaks where the other did, and back again; every sample arrives once under its own name', async () => {
    const simulator = await simulate({ devices: NAMED }, { durationMs: 4_000 })
    const heard: { at: string; samples: TestHost['samples'] }[] = []
    const config = simulator.scenario.devices[0]
    let over = false
    const keepListening = async (name: string) => {
      const path = simulator.state.ports[name] as string
      while (!over) {
        const listener = await openTestHost(path, config as NonNullable<typeof config>).catch(() => undefined)
        if (listener) {
          heard.push({ at: name, samples: listener.samples })
          await until('hang-up', () => listener.unplugged || over, 30_000)
          await listener.close()
        }
        await systemClock.sleep(20)
      }
    }
    const listening = Promise.all(['left', 'right'].map(keepListening))
    opened.push({ close: () => listening })
    await until('both speak', () => heard.length === 2 && heard.every((one) => one.samples.length > 0))
    expect(await ask(simulator, { fault: 'swap', devices: ['left', 'right'], forMs: 1_500 })).toMatchObject({
      status: 200,
    })
    const isSwapped = (one: (typeof heard)[number]) => one.samples.some(({ device }) => device !== one.at)
    await until('both swapped', () => heard.filter(isSwapped).length === 2)
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    over = true
    await listening
    // Home, away, home.
    for (const at of ['left', 'right'])
      expect(heard.filter((one) => one.at === at).map(isSwapped)).toEqual([false, true, false])
    const all = heard.flatMap(({ samples }) => samples)
    for (const name of ['left', 'right']) {
      const own = all.filter(({ device }) => device === name)
      expect(sequences(own)).toEqual(upTo(40))
      await expectTrue(name, own)
    }
    expect((await faultEvents()).sort()).toEqual(['left swap', 'right swap'])
    for (const name of ['left', 'right']) {
      const terminal = readlinkSync(simulator.state.ports[name] as string)
      expect(terminal).toMatch(/^\/dev\/pts\//)
      expect(simulator.status().devices[name]?.address).toBe(simulator.state.ports[name])
    }
  })

  it('vanish: gone within milliseconds of being opened, again and again; afterwards all that was measured arrives', async () => {
    const simulator = await simulate({ devices: SERIAL.slice(1, 2) }, { durationMs: 1_800 })
    await ask(simulator, { fault: 'vanish', forMs: 1_000 })
    await systemClock.sleep(400)
    const config = simulator.scenario.devices[0] as NonNullable<(typeof simulator.scenario.devices)[0]>
    const path = simulator.state.ports['room-1'] as string
    // The kernel gives the next terminal the same number; the link is a new one.
    const linkedAt = () => (existsSync(path) ? lstatSync(path, { bigint: true }).mtimeNs : undefined)
    let vanished = 0
    const endMs = systemClock.monotonicMs() + 600
    while (systemClock.monotonicMs() < endMs) {
      await until('a link', () => existsSync(path))
      const before = linkedAt()
      const listener = await openTestHost(path, config).catch(() => undefined)
      const openedAtMs = systemClock.monotonicMs()
      await until('gone', () => linkedAt() !== before || listener === undefined, 2_000)
      if (listener && systemClock.monotonicMs() - openedAtMs < 100) vanished++
      await listener?.close()
    }
    expect(vanished).toBeGreaterThan(5)
    const listener = await (async () => {
      await until('the end', () => !simulator.status().measuring)
      return host(simulator, 'room-1')
    })()
    await until('all', () => simulator.status().unacknowledgedSamples === 0)
    expect(sequences(listener.samples)).toEqual(upTo(18))
  })

  it('garble, silence and duplicate: nothing is lost with acknowledgement, and without it the ledger says what was', async () => {
    const simulator = await simulate(
      {
        devices: [
          { ...SERIAL[0], interval: '10ms' },
          { ...SERIAL[1], interval: '10ms', serial: { framing: 'json', acknowledge: false } },
          ...MQTT.slice(0, 1),
        ],
      },
      { durationMs: 3_000 },
    )
    const pump = await host(simulator, 'pump-1')
    const room = await host(simulator, 'room-1')
    const agent = await subscriber(simulator.state.mqttUrl)
    await agent.subscribe()
    expect((await ask(simulator, { fault: 'garble', forMs: 700 })).body['devices']).toEqual(['pump-1', 'room-1'])
    await systemClock.sleep(1_100)
    expect((await ask(simulator, { fault: 'silence', device: 'room-1', forMs: 300 })).status).toBe(200)
    expect((await ask(simulator, { fault: 'duplicate', forMs: 800 })).body['devices']).toHaveLength(3)
    await until('all', () => !simulator.status().measuring && simulator.status().unacknowledgedSamples === 0)
    await systemClock.sleep(200)
    await simulator.stopNow()
    expect(sequences(pump.samples)).toEqual(upTo(300))
    expect(pump.refused).toBeGreaterThan(10)
    expect(pump.samples.length).toBeGreaterThan(320)
    const truth = await ledger('room-1')
    expect(sequences(room.samples)).toEqual(truth.filter((s) => !s.lost).map((s) => s.sequence))
    expect(room.samples.length).toBeGreaterThan(truth.filter((s) => !s.lost).length + 20)
    const causes = new Set(truth.flatMap((s) => (s.lost ? [s.lost.cause] : [])))
    causes.delete('not_open')
    expect([...causes].sort()).toEqual(['dropout', 'noise', 'truncate'])
    const published = samplesOf(agent.messages)
    expect(sequences(published)).toEqual(upTo(30))
    expect(published.length).toBeGreaterThan(33)
    await expectTrue('room-1', room.samples)
    await expectTrue('pump-1', pump.samples)
  })

  it('says what does not fit, and does nothing then', async () => {
    const simulator = await simulate({ devices: [...SERIAL, ...MQTT] })
    const error = async (body: unknown, headers?: Record<string, string>) => {
      const answer = await ask(simulator, body, headers)
      return `${answer.status} ${answer.body['error']}`
    }
    expect(await error({ fault: 'melt' })).toMatch(/^400 fault: /)
    expect(await error({ fault: 'unplug', device: 'nobody' })).toBe('400 there is no device nobody')
    expect(await error({ fault: 'swap', devices: ['pump-1', 'room-1'] })).toContain('"announce: true"')
    expect(await error({ fault: 'swap' })).toContain('name the two devices')
    expect(await error({ fault: 'garble', device: 'pump-2' })).toContain('needs a serial device')
    expect(await error({ fault: 'unplug', forMs: -1 })).toMatch(/^400 forMs: /)
    expect(await error('{"fault":')).toMatch(/^400 not JSON/)
    expect(await error({ fault: 'unplug' }, { 'content-type': 'text/plain' })).toMatch(/^415 /)
    expect(await error(JSON.stringify({ fault: 'x'.repeat(70_000) }))).toMatch(/^413 /)
    const other = await fetch(`${simulator.state.adminUrl}/status`, { method: 'POST' })
    expect(other.status).toBe(405)
    await systemClock.sleep(400)
    expect(await faultEvents()).toEqual([])
  })
})
